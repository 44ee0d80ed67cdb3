"""A knowledge base as a model: ``base:NAME`` answers from its documents, with citations.

An answer is written out as text: every sentence with its [n] marks, then one line per source. The
citations themselves travel beside it in an extension field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from banyan.core.events import AnswerDone, Event, Refused, SentenceReady
from banyan.core.types import Citation

PREFIX = "base:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounded:
    """The end of such an answer."""

    citations: tuple[Citation, ...]
    done: AnswerDone


def base_of(model: str) -> str | None:
    """The base a model name stands for, or None for an ordinary model."""
    return model.removeprefix(PREFIX) if model.startswith(PREFIX) else None


def write_out(events: Iterator[Event]) -> Iterator[str | Grounded]:
    """Pieces of text as the events come, then one ``Grounded``."""
    cited: dict[int, Citation] = {}
    begun = False
    for event in events:
        if isinstance(event, SentenceReady):
            new = {citation.number: citation for citation in event.citations}
            marks = "".join(f"[{number}]" for number in new)
            yield f"{' ' if begun else ''}{event.text}{' ' if marks else ''}{marks}"
            cited.update(new)
            begun = True
        elif isinstance(event, Refused):
            yield event.reason
        elif isinstance(event, AnswerDone):
            if cited:
                yield _sources(cited)
            yield Grounded(citations=tuple(cited[number] for number in sorted(cited)), done=event)


def _sources(cited: dict[int, Citation]) -> str:
    lines = []
    for number in sorted(cited):
        citation = cited[number]
        page = f", p. {citation.page}" if citation.page is not None else ""
        lines.append(f"[{number}] {citation.title}{page}")
    return "\n\n" + "\n".join(lines)
