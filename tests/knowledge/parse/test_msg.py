from __future__ import annotations

import datetime
import io
from types import SimpleNamespace

from oxmsg import Message

from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.parse.msg import read


def test_an_outlook_message_is_shown_like_any_email(monkeypatch):
    stand_in = SimpleNamespace(
        sender="Ann <ann@example.org>",
        recipients=[SimpleNamespace(name="Bo", email_address="bo@example.org")],
        sent_date=datetime.datetime(2024, 3, 1, 9, 30),
        subject="Roots",
        body="They grow.\r\n\r\nDown.",
        html_body=None,
        attachments=[SimpleNamespace(file_name="tree.png")],
    )
    monkeypatch.setattr(Message, "load", lambda file: stand_in)
    draft = Draft("a.msg", ParseLimits())
    read(io.BytesIO(), draft)
    assert draft.document("application/vnd.ms-outlook").text == (
        "Roots\n\nFrom: Ann <ann@example.org>\nTo: Bo <bo@example.org>\n"
        "Date: 2024-03-01 09:30:00\nSubject: Roots\n\nThey grow.\n\nDown.\n\n"
        "Attachments:\n- tree.png"
    )
