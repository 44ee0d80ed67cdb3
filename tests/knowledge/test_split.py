"""What must be true of every splitter, and what is indexed for a piece."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banyan.knowledge.records import Block, Document, Piece
from banyan.knowledge.split import piece_text, split
from banyan.knowledge.split_heading import HeadingSplitter
from banyan.knowledge.split_plain import (
    LineSplitter,
    RecursiveSplitter,
    SentenceWindowSplitter,
    SeparatorSplitter,
)
from banyan.knowledge.split_region import DEFAULT_LIMIT, weigh

SPLITTERS = [
    HeadingSplitter(limit=12),
    RecursiveSplitter(limit=12),
    LineSplitter(limit=12),
    SeparatorSplitter(separator=". ", limit=12),
    SentenceWindowSplitter(window=2, limit=12),
]

WORDS = st.sampled_from(["root", "branch.", "Trunk", "榕树的气根", "很大。", "x" * 90, "3.14", "—"])
LINE = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)
TEXT = st.lists(LINE, min_size=1, max_size=4).map("\n".join)
HEADING = st.builds(
    lambda text, level: Block(kind="heading", text=text, level=level),
    st.lists(WORDS, min_size=1, max_size=3).map(" ".join),
    st.integers(1, 3),
)
ROWS = st.lists(st.tuples(WORDS, WORDS).map(lambda row: f"| {row[0]} | {row[1]} |"), min_size=1)
TABLE = ROWS.map(
    lambda rows: Block(kind="table", text="\n".join([rows[0], "|---|---|", *rows[1:]]))
)
BLOCK = st.one_of(
    HEADING,
    TABLE,
    st.builds(lambda kind, text: Block(kind=kind, text=text),
              st.sampled_from(["paragraph", "list", "code"]), TEXT),
)  # fmt: skip
DOCUMENT = st.lists(BLOCK, min_size=1, max_size=8).map(
    lambda blocks: Document(title="The Title", media_type="text/plain", blocks=tuple(blocks))
)


def document(*blocks: Block, title: str = "Doc") -> Document:
    return Document(title=title, media_type="text/plain", blocks=blocks)


def heading(text: str, level: int = 1) -> Block:
    return Block(kind="heading", text=text, level=level)


def paragraph(text: str) -> Block:
    return Block(kind="paragraph", text=text)


@pytest.mark.parametrize("splitter", SPLITTERS, ids=lambda s: type(s).__name__)
@settings(deadline=None)
@given(source=DOCUMENT)
def test_pieces_joined_give_the_text_back(splitter, source):
    pieces = split(source, splitter)
    assert "".join(source.text[piece.start : piece.end] for piece in pieces) == source.text
    assert all(piece.start < piece.end for piece in pieces)
    assert pieces == split(source, splitter)


@pytest.mark.parametrize("splitter", SPLITTERS, ids=lambda s: type(s).__name__)
@settings(deadline=None)
@given(source=DOCUMENT)
def test_no_piece_is_over_the_limit(splitter, source):
    assert all(
        weigh(source.text[piece.start : piece.end]) <= splitter.limit
        for piece in split(source, splitter)
    )


@settings(deadline=None)
@given(source=DOCUMENT)
def test_no_word_is_cut(source):
    for piece in split(source, HeadingSplitter(limit=12))[1:]:
        before, after = source.text[piece.start - 1], source.text[piece.start]
        assert not (
            before.isascii() and before.isalnum() and after.isascii() and after.isalnum()
        ) or ("x" * 64 in source.text[piece.start - 64 : piece.start])


@settings(deadline=None)
@given(source=DOCUMENT)
def test_what_is_indexed_holds_every_word_of_the_piece(source):
    for piece in split(source):
        indexed = piece_text(source, piece)
        for word in source.text[piece.start : piece.end].split():
            assert word in indexed


def test_an_empty_document_has_no_pieces():
    assert split(document()) == []


def test_the_heading_path_is_in_front_and_not_said_twice():
    source = document(heading("Guide"), heading("Setup", 2), paragraph("Do this."))
    [piece] = split(source)
    assert piece.heading_path == ("Guide", "Setup")
    assert piece_text(source, piece) == "Doc > Guide > Setup\n\nDo this."


def test_a_title_that_is_the_first_heading_is_said_once():
    source = document(heading("Guide"), paragraph("Do this."), title="Guide")
    assert piece_text(source, split(source)[0]) == "Guide\n\nDo this."


def test_every_part_of_a_long_table_is_indexed_with_its_header():
    rows = "\n".join(f"| name {n} | {n * n} |" for n in range(200))
    source = document(Block(kind="table", text=f"| who | square |\n|---|---|\n{rows}"))
    pieces = split(source)
    assert len(pieces) > 3
    for piece in pieces:
        lines = piece_text(source, piece).splitlines()
        assert lines[2:4] == ["| who | square |", "|---|---|"]
        assert all(line.startswith("| name") and line.endswith("|") for line in lines[4:])
        assert weigh("\n".join(lines[2:])) <= DEFAULT_LIMIT


def test_a_piece_knows_its_page():
    source = Document(
        title="t",
        media_type="m",
        blocks=tuple(Block(kind="paragraph", text="word " * 150, page=n) for n in (1, 2, 3)),
    )
    assert [piece.page for piece in split(source)] == [1, 2, 3]


def test_any_object_that_cuts_is_a_splitter():
    class Halves:
        def cut(self, document: Document) -> list[Piece]:
            middle = len(document.text) // 2
            return [Piece(start=0, end=middle), Piece(start=middle, end=len(document.text))]

    assert len(split(document(paragraph("abcd")), Halves())) == 2
