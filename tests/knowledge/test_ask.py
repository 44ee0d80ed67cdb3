"""Asking: the whole path from a question to a cited answer, in events."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence

import pytest
from tests.knowledge.small_base import Text, base_of

from banyan.core.context import Context, Principal
from banyan.core.errors import Cancelled, InputError, UnsupportedOption
from banyan.core.events import (
    AnswerDone,
    Event,
    GenerationDone,
    PassagesFound,
    Refused,
    SentenceReady,
    TokenReady,
)
from banyan.core.fakes import ScriptedChatModel
from banyan.core.types import Message, Sampling
from banyan.knowledge.ask import SURE_REFUSAL, Mode, Resources, ask, search
from banyan.knowledge.embed import Embedders, Multilingual
from banyan.knowledge.history import NoHistory, TraceRecord, Turn
from banyan.knowledge.memory import MemorySnapshot
from banyan.knowledge.write import NOTHING_FOUND

REAL = Embedders(multilingual=Multilingual())
LICENCE = "Banyan is published under the Apache License 2.0. It costs nothing, even at work."
TEXTS = [
    Text(title="The licence of Banyan", body=LICENCE, page=4),
    Text(title="Running models", body="A model of seven billion weights needs five gigabytes."),
    Text(title="许可证", body="榕树软件以 Apache 2.0 许可证发布。价格为零，可以商用。"),
    Text(title="Trees", body="The oak grows acorns. It lives for six hundred years."),
    Text(title="Payroll", body="The director earns 9000 a month.", label="board"),
]


@pytest.fixture(scope="module")
def base() -> MemorySnapshot:
    return base_of(TEXTS, REAL)


class Remembered:
    """A ``History`` in memory."""

    def __init__(self) -> None:
        self.kept: list[Turn] = []
        self.traces: list[TraceRecord] = []

    def turns(self, conversation_id: str, context: Context) -> list[Turn]:
        return list(self.kept)

    def add_turn(self, conversation_id: str, turn: Turn, context: Context) -> None:
        self.kept.append(turn)

    def add_trace(self, record: TraceRecord, context: Context) -> None:
        self.traces.append(record)


def asked(
    base: MemorySnapshot,
    question: str,
    *,
    resources: Resources | None = None,
    labels: frozenset[str] | None = None,
    conversation_id: str | None = None,
    mode: Mode = "auto",
) -> list[Event]:
    context = Context(principal=Principal(labels=labels))
    chosen = resources or Resources(embedders=REAL)
    return list(
        ask(question, "base", base, chosen, context, conversation_id=conversation_id, mode=mode)
    )


def sentences(events: Sequence[Event]) -> list[SentenceReady]:
    return [event for event in events if isinstance(event, SentenceReady)]


def done(events: Sequence[Event]) -> AnswerDone:
    last = events[-1]
    assert isinstance(last, AnswerDone)
    return last


def test_an_answer_is_quoted_word_for_word_with_its_place(base: MemorySnapshot) -> None:
    events = asked(base, "Under which license is Banyan published?")
    found = events[0]
    assert isinstance(found, PassagesFound)
    assert found.passages[0].title == "The licence of Banyan"
    first = sentences(events)[0]
    assert first.text == "Banyan is published under the Apache License 2.0."
    (citation,) = first.citations
    assert citation.quote == LICENCE[citation.start : citation.end] == first.text
    assert (citation.number, citation.page) == (1, 4)
    assert first.support == 1.0
    assert not done(events).refused
    assert done(events).mode == "extractive"


def test_a_chinese_question_gets_a_chinese_sentence(base: MemorySnapshot) -> None:
    events = asked(base, "榕树软件以什么许可证发布？")
    assert sentences(events)[0].text == "榕树软件以 Apache 2.0 许可证发布。"


@pytest.mark.parametrize("question", ["Who wrote Hamlet?", "去年的销售额是多少？"])
def test_what_is_not_in_the_documents_is_refused_with_what_came_nearest(
    base: MemorySnapshot, question: str
) -> None:
    events = asked(base, question)
    refusal = events[1]
    assert isinstance(refusal, Refused)
    assert refusal.nearest
    assert sentences(events) == []
    assert done(events).refused


def test_an_empty_base_refuses() -> None:
    events = asked(base_of([], REAL), "Who wrote Hamlet?")
    assert events[0] == PassagesFound(passages=())
    assert isinstance(events[1], Refused)


def test_a_hidden_document_looks_like_one_that_does_not_exist(base: MemorySnapshot) -> None:
    question = "What does the director earn a month?"
    everybody = frozenset({"public"})
    assert sentences(asked(base, question))[0].text == "The director earns 9000 a month."
    hidden = asked(base, question, labels=everybody)
    absent = asked(base_of(TEXTS[:-1], REAL), question, labels=everybody)
    assert hidden[:-1] == absent[:-1]
    assert done(hidden).refused


def test_a_follow_up_takes_the_topic_of_the_turn_before(base: MemorySnapshot) -> None:
    history = Remembered()
    resources = Resources(embedders=REAL, history=history)
    first = done(
        asked(base, "Which license does Banyan have?", resources=resources, conversation_id="c")
    )
    assert first.conversation_id == "c"
    events = asked(base, "how much does it cost?", resources=resources, conversation_id="c")
    assert done(events).question.startswith("how much does it cost? (")
    assert "Banyan" in done(events).question
    assert sentences(events)[0].text == "It costs nothing, even at work."
    assert history.traces[-1].understood == done(events).question


def test_a_conversation_of_its_own_borrows_nothing(base: MemorySnapshot) -> None:
    history = Remembered()
    history.kept.append(Turn(question="Which trees?", topic="oak trees"))
    resources = Resources(embedders=REAL, history=history)
    assert done(asked(base, "how old is it?", resources=resources)).question == "how old is it?"


def test_every_question_leaves_a_trace_of_json_values(base: MemorySnapshot) -> None:
    history = Remembered()
    asked(
        base,
        "Which license does Banyan have?",
        resources=Resources(embedders=REAL, history=history),
    )
    (record,) = history.traces
    names = [step.name for step in record.steps]
    assert names == ["prepare", "retrieve", "fuse", "rerank", "select", "refuse", "answer"]
    assert all(step.seconds >= 0 for step in record.steps)
    assert json.loads(json.dumps(record.to_json()))["question"] == "Which license does Banyan have?"
    assert record.passages[0].document_id in record.document_ids
    assert {"bm25", "multilingual", "fused", "bm25_rank"} <= set(record.passages[0].scores)


def test_a_search_gives_passages_and_a_trace(base: MemorySnapshot) -> None:
    history = Remembered()
    resources = Resources(embedders=REAL, history=history)
    found = search("license of Banyan", "base", base, resources, Context(), k=2)
    assert found[0].title == "The licence of Banyan"
    assert len(found) == 2
    assert history.traces[0].mode == "search"


def test_a_writer_writes_and_is_checked(base: MemorySnapshot) -> None:
    writer = ScriptedChatModel(
        "Banyan is under the Apache License 2.0 [1]. It was made by Initech in 1999 [1]."
    )
    events = asked(
        base, "Which license has Banyan?", resources=Resources(embedders=REAL, writer=writer)
    )
    shown = [sentence.text for sentence in sentences(events)]
    assert shown[0] == "Banyan is under the Apache License 2.0."
    assert not any("Initech" in text for text in shown)
    assert done(events).mode == "model"
    assert done(events).usage.completion_tokens > 0


def test_a_writer_that_finds_nothing_refuses(base: MemorySnapshot) -> None:
    writer = ScriptedChatModel(NOTHING_FOUND["en"])
    events = asked(
        base, "Which license has Banyan?", resources=Resources(embedders=REAL, writer=writer)
    )
    assert isinstance(events[1], Refused)


def test_when_all_a_writer_says_is_wrong_the_quotes_answer(base: MemorySnapshot) -> None:
    writer = ScriptedChatModel("Dragons of Rome conjured it [1].")
    events = asked(
        base, "Which license has Banyan?", resources=Resources(embedders=REAL, writer=writer)
    )
    first = sentences(events)[0]
    assert first.text == first.citations[0].quote


def test_a_question_far_from_everything_does_not_reach_the_writer(base: MemorySnapshot) -> None:
    writer = ScriptedChatModel()
    events = asked(base, "Who wrote Hamlet?", resources=Resources(embedders=REAL, writer=writer))
    assert isinstance(events[1], Refused)
    assert writer.asked == []


def test_a_doubtful_question_is_put_to_the_writer_but_never_padded_with_quotes(
    base: MemorySnapshot,
) -> None:
    question = "Who owns Banyan?"
    history = Remembered()
    asked(base, question, resources=Resources(embedders=REAL, history=history))
    detail = history.traces[0].steps[5].detail
    assert 0.5 < float(str(detail["probability"])) < SURE_REFUSAL, detail
    writer = ScriptedChatModel("Dragons of Rome conjured it [1].")
    events = asked(base, question, resources=Resources(embedders=REAL, writer=writer))
    assert len(writer.asked) == 1
    assert sentences(events) == []
    assert done(events).refused


def test_what_is_quoted_is_among_the_passages_shown(base: MemorySnapshot) -> None:
    events = asked(base, "Under which license is Banyan published?")
    found = events[0]
    assert isinstance(found, PassagesFound)
    shown = {passage.id for passage in found.passages}
    cited = {c.passage_id for sentence in sentences(events) for c in sentence.citations}
    assert cited
    assert cited <= shown


def test_quotes_can_be_asked_for_although_there_is_a_writer(base: MemorySnapshot) -> None:
    writer = ScriptedChatModel()
    resources = Resources(embedders=REAL, writer=writer)
    events = asked(base, "Which license has Banyan?", resources=resources, mode="extractive")
    assert done(events).mode == "extractive"
    assert writer.asked == []


def test_a_writer_must_exist_to_be_asked_for(base: MemorySnapshot) -> None:
    with pytest.raises(UnsupportedOption, match="No model"):
        asked(base, "Which license has Banyan?", mode="model")


def test_an_empty_question_is_an_input_error(base: MemorySnapshot) -> None:
    with pytest.raises(InputError):
        asked(base, "  ?")


class Leaving:
    """A writer during whose work the client leaves."""

    def __init__(self, cancel: threading.Event) -> None:
        self.cancel = cancel
        self.said = 0

    def chat(
        self, messages: Sequence[Message], sampling: Sampling, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        while True:
            self.said += 1
            self.cancel.set()
            yield TokenReady(text="word ")


def test_a_client_that_leaves_stops_the_writer(base: MemorySnapshot) -> None:
    cancel = threading.Event()
    writer = Leaving(cancel)
    resources = Resources(embedders=REAL, writer=writer, history=NoHistory())
    with pytest.raises(Cancelled):
        list(ask("Which license?", "base", base, resources, Context(cancel=cancel)))
    assert writer.said == 1


def test_sources_are_numbered_in_the_order_they_are_cited(base: MemorySnapshot) -> None:
    writer = ScriptedChatModel("It costs nothing, even at work. [2] It lives long. [1]")
    resources = Resources(embedders=REAL, writer=writer)
    written = sentences(asked(base, "What does Banyan cost at work?", resources=resources))
    assert written[0].citations[0].number == 1


def test_an_empty_base_says_that_it_is_empty() -> None:
    events = asked(base_of([], REAL), "Which licence?")
    (refused,) = [event for event in events if isinstance(event, Refused)]
    assert refused.reason == "This knowledge base has no documents yet."
    hidden = asked(base_of([], REAL), "Which licence?", labels=frozenset({"public"}))
    assert [event.reason for event in hidden if isinstance(event, Refused)] != [refused.reason]
