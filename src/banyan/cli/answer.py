"""Drawing an answer: its sentences as they come, then what they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from banyan.cli import output
from banyan.core.errors import InternalError
from banyan.core.events import AnswerDone, Event, Failed, Refused, SentenceReady
from banyan.core.types import Citation


@dataclass(slots=True)
class Answer:
    """What the events of one question add up to."""

    question: str
    base: str
    sentences: list[SentenceReady] = field(default_factory=list)
    refused: Refused | None = None
    done: AnswerDone | None = None

    def take(self, event: Event) -> None:
        """Keep an event; a ``Failed`` becomes the error it reports."""
        if isinstance(event, SentenceReady):
            self.sentences.append(event)
        elif isinstance(event, Refused):
            self.refused = event
        elif isinstance(event, AnswerDone):
            self.done = event
        elif isinstance(event, Failed):
            raise InternalError(event.message, remedy=event.remedy)

    @property
    def citations(self) -> list[Citation]:
        """Each cited passage once, by its number."""
        cited = {c.number: c for sentence in self.sentences for c in reversed(sentence.citations)}
        return [cited[number] for number in sorted(cited)]

    @property
    def conversation_id(self) -> str:
        return self.done.conversation_id if self.done else ""

    def as_json(self, paths: Mapping[str, str]) -> dict[str, object]:
        """The whole as one document; ``paths`` gives each document's file."""
        return {
            "question": self.question,
            "base": self.base,
            "answer": " ".join(marked(sentence) for sentence in self.sentences),
            "refused": self.refused is not None,
            "reason": self.refused.reason if self.refused else "",
            "sentences": self.sentences,
            "sources": [
                {
                    "number": citation.number,
                    "title": citation.title,
                    "page": citation.page,
                    "path": paths.get(citation.document_id, ""),
                    "document_id": citation.document_id,
                    "passage_id": citation.passage_id,
                }
                for citation in self.citations
            ],
            "nearest": self.refused.nearest if self.refused else [],
            "done": self.done,
        }

    def show_sources(self, paths: Mapping[str, str]) -> None:
        if self.citations:
            output.print_text()
            output.styled("Sources", "bold")
        for citation in self.citations:
            output.print_text(output.safe(_source(citation, paths)))


def show_answer(event: Event) -> None:
    """Print the part of an answer that this event is."""
    if isinstance(event, SentenceReady):
        output.print_text(output.safe(marked(event)))
    elif isinstance(event, Refused):
        output.styled(event.reason, "yellow")
        titles = dict.fromkeys(passage.title for passage in event.nearest)
        if titles:
            output.print_text(output.safe(f"Nearest: {'; '.join(titles)}"))


def marked(sentence: SentenceReady) -> str:
    """The sentence with its marks: ``The sky is blue. [1][2]``."""
    marks = "".join(f"[{number}]" for number in sorted({c.number for c in sentence.citations}))
    text = " ".join(sentence.text.split())
    return f"{text} {marks}" if marks else text


def _source(citation: Citation, paths: Mapping[str, str]) -> str:
    page = f", page {citation.page}" if citation.page else ""
    path = paths.get(citation.document_id, "")
    return f"[{citation.number}] {citation.title}{page}" + (f" ({path})" if path else "")
