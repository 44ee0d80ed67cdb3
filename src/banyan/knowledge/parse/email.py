"""E-mail messages (EML): who, when and what about, the body, and the attachments by name."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterable
from email.message import EmailMessage, MIMEPart
from typing import BinaryIO

from banyan.core.errors import BrokenDocument
from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.encoding import decode
from banyan.knowledge.parse.html import add_html
from banyan.knowledge.parse.text import add_text

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_MAX_PARTS = 1000


def read(file: BinaryIO, draft: Draft) -> None:
    message = email.message_from_binary_file(file, policy=email.policy.default)
    if not any(message[name] for name in _HEADERS):
        raise BrokenDocument(f"{draft.name} is no e-mail: it has no header.")
    add_head({name: str(message[name] or "") for name in _HEADERS}, draft)
    body = message.get_body(preferencelist=("plain", "html"))
    if body is not None:
        _add_body(body, draft)
    add_attachments((part.get_filename() or "" for part in _attachments(message)), draft)


def add_head(fields: dict[str, str], draft: Draft) -> None:
    """The subject as title and heading, then the header lines that are not empty."""
    draft.title = fields.get("Subject", "")
    draft.add("heading", draft.title, level=1)
    lines = (f"{name}: {' '.join(value.split())}" for name, value in fields.items() if value)
    draft.add("paragraph", "\n".join(lines))


def add_attachments(names: Iterable[str], draft: Draft) -> None:
    """The attachments by name only; their content is a file of its own to add."""
    lines = [f"- {name}" for name in names if name]
    if lines:
        draft.add("list", "\n".join(["Attachments:", *lines]))


def _add_body(body: MIMEPart, draft: Draft) -> None:
    try:
        text = str(body.get_content())
    except (LookupError, UnicodeError):  # an encoding Python does not know, or a wrong one
        payload = body.get_payload(decode=True)
        text = decode(payload if isinstance(payload, bytes) else b"", draft.name)
    if body.get_content_subtype() == "html":
        add_html(text, draft, whole=True)
    else:
        add_text(text, draft)


def _attachments(message: EmailMessage) -> list[EmailMessage]:
    parts = []
    for count, part in enumerate(message.walk()):
        if count >= _MAX_PARTS:
            raise BrokenDocument(f"{message['Subject']} has over {_MAX_PARTS} parts.")
        if part.is_attachment() if isinstance(part, EmailMessage) else False:
            parts.append(part)
    return parts
