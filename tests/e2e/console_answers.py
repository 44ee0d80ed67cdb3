"""What the console's stub server says when asked: words in the question choose the case."""

from __future__ import annotations

from tests.e2e import console_shelf as shelf

from banyan.core.events import (
    AnswerDone,
    Event,
    Failed,
    GenerationDone,
    PassagesFound,
    Refused,
    SentenceReady,
    TokenReady,
)
from banyan.core.types import Usage

Script = list[Event | dict[str, object]]

REPLY = """A banyan is a fig that grows **many trunks** from one canopy.

1. Roots hang from its branches.
2. Each one that reaches the ground becomes a trunk.

```
print("one canopy, many trunks")
```

So it can cover a whole field, `tree by tree`, and stand for centuries."""


def _done(question: str, *, refused: bool = False, mode: str = "extractive") -> AnswerDone:
    return AnswerDone(
        trace_id="trace-1",
        conversation_id="conversation-1",
        question=question,
        refused=refused,
        mode="model" if mode == "model" else "extractive",
        seconds=0.214,
    )


def _english() -> Script:
    first = shelf.cite(1, shelf.WRITING, shelf.QUOTE_EN)
    second = shelf.cite(2, shelf.MACHINES, shelf.QUOTE_TABLE)
    return [
        PassagesFound(passages=(shelf.WRITING, shelf.MACHINES, shelf.RUNNING)),
        SentenceReady(text=shelf.QUOTE_EN, citations=(first,), support=0.94),
        SentenceReady(
            text="A 7B model in 4 bits runs on a laptop with 16 GB.",
            citations=(second, first),
            support=0.81,
        ),
        _done("How fast does the packaged model write?"),
    ]


def answer_script(question: str) -> Script:
    """What the stub answers: words in the question choose the case."""
    if "Mongolia" in question or "天气" in question:
        nearest = (shelf.MACHINES, shelf.RUNNING)
        reason = "Not in these documents."
        return [Refused(reason=reason, nearest=nearest), _done(question, refused=True)]
    if "fail" in question:
        failed = Failed(code="engine_failed", message="The engine ended.", remedy="Ask again.")
        return [PassagesFound(passages=(shelf.WRITING,)), failed]
    if "hostile" in question:
        cited = shelf.cite(1, shelf.REPORT, f"Text {shelf.PAYLOAD} goes on.")
        sentence = SentenceReady(text=cited.quote, citations=(cited,), support=0.5)
        return [PassagesFound(passages=(shelf.REPORT,)), sentence, _done(question)]
    if any(character > "\u3400" for character in question):
        cited = shelf.cite(1, shelf.RUNNING, shelf.QUOTE_ZH)
        sentence = SentenceReady(text=shelf.QUOTE_ZH, citations=(cited,), support=0.97)
        return [PassagesFound(passages=(shelf.RUNNING,)), sentence, _done(question)]
    return _english()


def chat_script(message: str) -> Script:
    text = shelf.PAYLOAD if "hostile" in message else REPLY
    words = [TokenReady(text=word) for word in text.replace(" ", " \0").split("\0")]
    usage = Usage(prompt_tokens=12, completion_tokens=len(words))
    return [*words, GenerationDone(finish_reason="stop", usage=usage)]
