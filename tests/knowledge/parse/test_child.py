"""What the parser process makes of any bytes: a document or a typed reason, nothing else."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banyan.core.errors import DocumentError, ParserLimit
from banyan.knowledge.parse.child import read_document
from banyan.knowledge.parse.formats import BY_SUFFIX
from banyan.knowledge.parse.limits import ParseLimits

SUFFIXES = sorted(BY_SUFFIX)


@settings(deadline=None)
@given(data=st.binary(min_size=1, max_size=300), suffix=st.sampled_from(SUFFIXES))
def test_any_bytes_end_as_a_document_or_a_reason(data, suffix):
    try:
        document = read_document(io.BytesIO(data), f"any{suffix}", ParseLimits())
    except DocumentError:
        return
    assert document.text.strip()


@settings(deadline=None)
@given(text=st.text(min_size=1, max_size=300), suffix=st.sampled_from(SUFFIXES))
def test_any_text_ends_as_a_document_or_a_reason_and_can_be_sent(text, suffix):
    data = text.encode("utf-8", errors="surrogatepass")
    try:
        document = read_document(io.BytesIO(data), f"any{suffix}", ParseLimits())
    except DocumentError:
        return
    document.text.encode("utf-8")
    assert "\0" not in document.text


def test_text_over_the_limit_is_refused_not_cut(read):
    with pytest.raises(ParserLimit, match="max_document_chars = 10"):
        read(b"eleven chars", "a.txt", ParseLimits(max_document_chars=10))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"[" * 200_000, "deep.json"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "deep.json"),
        (b"<div>" * 15_000 + b"text", "deep.html"),
        (b"<ul><li>" * 5_000 + b"text", "lists.html"),
        (b"> " * 20_000 + b"text", "quotes.md"),
        (b"<table><tr><td>" * 5_000 + b"text", "tables.html"),
    ],
)
def test_deep_nesting_neither_crashes_nor_hangs(read, data, name):
    try:
        document = read(data, name)
    except DocumentError:
        return
    assert "text" in document.text


def test_a_cut_off_archive_is_broken(read):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("word/document.xml", "<w/>" * 1000)
    for name in ("a.docx", "a.xlsx", "a.pptx", "a.epub"):
        with pytest.raises(DocumentError):
            read(buffer.getvalue()[:-30], name)
        with pytest.raises(DocumentError):
            read(buffer.getvalue(), name)
