from __future__ import annotations

from email.message import EmailMessage

import pytest

from banyan.core.errors import BrokenDocument


def message(**headers: str) -> EmailMessage:
    built = EmailMessage()
    for name, value in (
        {"From": "Ann <ann@example.org>", "Subject": "榕树 report"} | headers
    ).items():
        built[name] = value
    return built


def test_headers_body_and_attachments_are_shown(read):
    built = message(To="bo@example.org")
    built.set_content("The first line.\n\nThe second paragraph.\n")
    built.add_alternative("<p>other</p>", subtype="html")
    built.add_attachment(b"x", maintype="application", subtype="pdf", filename="plan.pdf")
    document = read(bytes(built), "a.eml")
    assert document.title == "榕树 report"
    assert document.text == (
        "榕树 report\n\n"
        "From: Ann <ann@example.org>\nTo: bo@example.org\nSubject: 榕树 report\n\n"
        "The first line.\n\nThe second paragraph.\n\n"
        "Attachments:\n- plan.pdf"
    )


def test_a_body_in_html_is_read_like_a_page(read):
    built = message()
    built.set_content("<h2>News</h2><p>It grew.</p><script>x()</script>", subtype="html")
    assert read(bytes(built), "a.eml").text.endswith("News\n\nIt grew.")


def test_an_unknown_encoding_does_not_lose_the_body(read):
    source = b"From: a@b.c\nSubject: s\nContent-Type: text/plain; charset=nonesuch\n\nStill read.\n"
    assert "Still read." in read(source, "a.eml").text


def test_what_has_no_header_is_no_email(read):
    with pytest.raises(BrokenDocument):
        read(b"just some words\n", "a.eml")
