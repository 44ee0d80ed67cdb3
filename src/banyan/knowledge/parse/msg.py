"""Outlook messages (MSG), shown like any other e-mail."""

from __future__ import annotations

from typing import BinaryIO

from oxmsg import Message

from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.email import add_attachments, add_head
from banyan.knowledge.parse.html import add_html
from banyan.knowledge.parse.text import add_text


def read(file: BinaryIO, draft: Draft) -> None:
    message = Message.load(file)
    recipients = (
        f"{person.name} <{person.email_address}>" if person.email_address else person.name
        for person in message.recipients
    )
    add_head(
        {
            "From": message.sender or "",
            "To": ", ".join(recipients),
            "Date": str(message.sent_date or ""),
            "Subject": message.subject or "",
        },
        draft,
    )
    if message.body:
        add_text(message.body, draft)
    elif message.html_body:
        add_html(message.html_body, draft, whole=True)
    add_attachments((file.file_name or "" for file in message.attachments), draft)
