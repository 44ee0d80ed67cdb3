"""What parsing one file may cost, and the error that quotes the limit that was passed."""

from __future__ import annotations

from dataclasses import dataclass

from banyan.core.errors import ParserLimit
from banyan.core.settings import PREFIX, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseLimits:
    """The settings of the same names; see ``core.settings`` for what each means."""

    parse_timeout_s: float = Settings().parse_timeout_s
    parse_memory_bytes: int = Settings().parse_memory_bytes
    max_pages: int = Settings().max_pages
    max_document_chars: int = Settings().max_document_chars
    max_upload_bytes: int = Settings().max_upload_bytes

    @classmethod
    def of(cls, settings: Settings) -> ParseLimits:
        return cls(
            parse_timeout_s=settings.parse_timeout_s,
            parse_memory_bytes=settings.parse_memory_bytes,
            max_pages=settings.max_pages,
            max_document_chars=settings.max_document_chars,
            max_upload_bytes=settings.max_upload_bytes,
        )

    def passed(self, limit: str, what: str) -> ParserLimit:
        """The error for a file that passed the setting ``limit``: ``what`` says how."""
        return ParserLimit(
            f"{what}: over the limit {limit} = {getattr(self, limit)}.",
            remedy=f"Split the file, or raise {PREFIX}{limit.upper()}.",
        )


def fixed_limit(limit: str, allowed: int, what: str) -> ParserLimit:
    """The error for a limit that is a constant here and no setting."""
    return ParserLimit(f"{what}: over the limit {limit} = {allowed}.", remedy="Split the file.")
