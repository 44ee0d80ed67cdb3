"""Ask: the path from a question to a cited answer, as a generator of events.

    prepare -> retrieve -> fuse -> rerank -> select -> refuse -> answer (quoted, or written)

Each step is a function in the file of its name and leaves an entry in the trace. ``Library`` opens
a snapshot and calls ``ask`` or ``search``; nothing here knows how a base is stored.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from banyan.core.context import Context
from banyan.core.errors import UnsupportedOption
from banyan.core.events import AnswerDone, Event, PassagesFound, Refused, SentenceReady
from banyan.core.ports import ChatModel, TextScorer, TokenCounter
from banyan.core.types import Language, Passage
from banyan.knowledge.check import Checker
from banyan.knowledge.coverage import Coverage
from banyan.knowledge.embed import Embedders
from banyan.knowledge.fuse import Candidate, Method, fuse
from banyan.knowledge.history import History, NoHistory, TraceRecord, Turn
from banyan.knowledge.pack import RoughCounter, pack
from banyan.knowledge.prepare import Question, prepare
from banyan.knowledge.refuse import Decision, decide
from banyan.knowledge.rerank import rerank
from banyan.knowledge.retrieve import Hits, Query, embed_question, retrieve
from banyan.knowledge.select import PASSAGES_SHOWN, Quote, select
from banyan.knowledge.snapshot import Snapshot
from banyan.knowledge.write import Draft, quoted, write

Mode = Literal["auto", "extractive", "model"]

TRACED_ROWS = 5
"""Rows of each retriever that the trace keeps."""

SURE_REFUSAL = 0.95
"""With a writer, only a refusal this probable is made without asking it."""

_EMPTY: dict[Language, str] = {
    "en": "This knowledge base has no documents yet.",
    "zh": "这个知识库里还没有文档。",
}
_REFUSAL: dict[Language, str] = {
    "en": "Not in these documents: no passage answers this question.",
    "zh": "这些文档里没有答案：没有段落能回答这个问题。",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What asking may use. Without a ``writer`` answers are quoted; without a ``scorer`` nothing
    is reranked; without a ``history`` nothing is remembered."""

    embedders: Embedders
    scorer: TextScorer | None = None
    writer: ChatModel | None = None
    counter: TokenCounter = field(default_factory=RoughCounter)
    history: History = field(default_factory=NoHistory)
    method: Method = "scores"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A question and the passages that came of it, best first.

    ``document_ids`` are those of every passage that the trace names.
    """

    query: Query
    candidates: tuple[Candidate, ...]
    coverage: Coverage
    document_ids: tuple[str, ...]

    @property
    def passages(self) -> tuple[Passage, ...]:
        return tuple(candidate.passage for candidate in self.candidates)


def search(
    question: str,
    base_id: str,
    snapshot: Snapshot,
    resources: Resources,
    context: Context,
    *,
    k: int = 10,
) -> list[Passage]:
    """The best ``k`` passages, best first, and a trace of how they were found."""
    started = time.perf_counter()
    found = find(_prepare(question, (), context), snapshot, resources, context, k=k)
    record = TraceRecord(
        id=context.trace.id,
        base_id=base_id,
        conversation_id="",
        question=question,
        understood=found.query.question.text,
        mode="search",
        refused=False,
        seconds=time.perf_counter() - started,
        steps=tuple(context.trace.steps),
        passages=found.passages,
        document_ids=found.document_ids,
    )
    resources.history.add_trace(record, context)
    return list(found.passages)


def ask(
    question: str,
    base_id: str,
    snapshot: Snapshot,
    resources: Resources,
    context: Context,
    *,
    conversation_id: str | None = None,
    mode: Mode = "auto",
) -> Iterator[Event]:
    """Yield ``PassagesFound``, then ``SentenceReady`` for each sentence or one ``Refused``, then
    ``AnswerDone``. Raises ``InputError`` for an empty question, ``UnsupportedOption`` for mode
    ``model`` without a model that writes."""
    started = time.perf_counter()
    writer = _writer(mode, resources)
    conversation = conversation_id or uuid.uuid4().hex
    turns = resources.history.turns(conversation, context) if conversation_id else []
    found = find(_prepare(question, turns, context), snapshot, resources, context)
    yield PassagesFound(passages=found.passages[:PASSAGES_SHOWN])
    answer = _Answer()
    yield from _answer(found, snapshot, resources, writer, context, answer)
    understood = found.query.question
    answered_by: Literal["extractive", "model"] = "extractive" if writer is None else "model"
    record = TraceRecord(
        id=context.trace.id,
        base_id=base_id,
        conversation_id=conversation,
        question=question,
        understood=understood.text,
        mode=answered_by,
        refused=not answer.sentences,
        seconds=time.perf_counter() - started,
        steps=tuple(context.trace.steps),
        passages=found.passages,
        answer=tuple(answer.sentences),
        document_ids=found.document_ids,
    )
    resources.history.add_trace(record, context)
    turn = Turn(
        question=understood.asked,
        topic=understood.topic,
        answer=" ".join(sentence.text for sentence in answer.sentences),
        document_ids=tuple(dict.fromkeys(answer.document_ids)),
    )
    resources.history.add_turn(conversation, turn, context)
    yield AnswerDone(
        trace_id=context.trace.id,
        conversation_id=conversation,
        question=understood.text,
        refused=record.refused,
        mode=answered_by,
        seconds=record.seconds,
        usage=answer.draft.usage,
    )


def find(
    question: Question,
    snapshot: Snapshot,
    resources: Resources,
    context: Context,
    *,
    k: int = 10,
) -> Found:
    """Retrieve, fuse and rerank."""
    allowed = context.principal.labels
    started = time.perf_counter()
    query = embed_question(question, resources.embedders, context)
    hits = retrieve(snapshot, query, allowed, context)
    best = {one.retriever: snapshot.passages(one.rows[:TRACED_ROWS]) for one in hits}
    context.trace.record("retrieve", started, **_traced(hits, best))
    started = time.perf_counter()
    candidates = fuse(snapshot, query, hits, context, k=k, method=resources.method)
    passages = [{"passage": c.passage.id, **c.passage.scores} for c in candidates]
    context.trace.record("fuse", started, method=resources.method, passages=passages)
    candidates = rerank(query, candidates, resources.scorer, context)
    coverage = Coverage.of(question, snapshot, allowed)
    named = [*(c.passage for c in candidates), *(p for rows in best.values() for p in rows)]
    return Found(
        query=query,
        candidates=tuple(candidates),
        coverage=coverage,
        document_ids=tuple(dict.fromkeys(passage.document_id for passage in named)),
    )


@dataclass(slots=True)
class _Answer:
    """What was shown, filled while it is yielded."""

    sentences: list[SentenceReady] = field(default_factory=list)
    draft: Draft = field(default_factory=Draft)
    numbers: dict[str, int] = field(default_factory=dict)

    def take(self, sentence: SentenceReady) -> SentenceReady:
        """Keep a sentence; passages are numbered in the order in which they are first cited."""
        citations = []
        for citation in sentence.citations:
            number = self.numbers.setdefault(citation.passage_id, len(self.numbers) + 1)
            citations.append(replace(citation, number=number))
        self.sentences.append(replace(sentence, citations=tuple(citations)))
        return self.sentences[-1]

    @property
    def document_ids(self) -> list[str]:
        return [c.document_id for sentence in self.sentences for c in sentence.citations]


def _answer(
    found: Found,
    snapshot: Snapshot,
    resources: Resources,
    writer: ChatModel | None,
    context: Context,
    answer: _Answer,
) -> Iterator[SentenceReady | Refused]:
    quotes = _select(found, context)
    decision = _decide(found, quotes, context)
    started = time.perf_counter()
    threshold = 0.5 if writer is None else SURE_REFUSAL
    if decision is not None and decision.probability <= threshold:
        if writer is None:
            events = _quote(quotes)
        else:
            spare = () if decision.refuse else quotes
            events = _write(found, spare, snapshot, resources, writer, context, answer.draft)
        for sentence in events:
            context.check()
            yield answer.take(sentence)
        if not answer.sentences and not answer.draft.says_nothing_found and not decision.refuse:
            yield from map(answer.take, _quote(quotes))
    context.trace.record(
        "answer",
        started,
        sentences=[sentence.text for sentence in answer.sentences],
        dropped=answer.draft.dropped,
        writer_found_nothing=answer.draft.says_nothing_found,
    )
    if not answer.sentences:
        nearest = found.passages[:PASSAGES_SHOWN]
        # Whoever may not see everything must not learn whether there is something.
        is_empty = context.principal.labels is None and not snapshot.size
        reasons = _EMPTY if is_empty else _REFUSAL
        yield Refused(reason=reasons[found.query.question.language], nearest=nearest)


def _prepare(question: str, turns: Sequence[Turn], context: Context) -> Question:
    started = time.perf_counter()
    prepared = prepare(question, turns)
    context.trace.record(
        "prepare",
        started,
        asked=prepared.asked,
        understood=prepared.text,
        language=prepared.language,
        terms=list(prepared.terms),
        borrowed=prepared.borrowed,
    )
    return prepared


def _select(found: Found, context: Context) -> list[Quote]:
    started = time.perf_counter()
    quotes = select(found.query, found.candidates, found.coverage)
    sentences = [
        {
            "passage": quote.candidate.passage.id,
            "text": quote.hit.text,
            "overlap": round(quote.overlap, 4),
            "cosine": round(quote.hit.cosine, 4),
            "score": round(quote.score, 4),
        }
        for quote in quotes
    ]
    context.trace.record("select", started, sentences=sentences)
    return quotes


def _decide(found: Found, quotes: Sequence[Quote], context: Context) -> Decision | None:
    """The decision; ``None`` (a refusal) where there is nothing to decide on."""
    started = time.perf_counter()
    if not quotes:
        context.trace.record("refuse", started, refuse=True, reason="no passage was found")
        return None
    decision = decide(found.query, found.candidates, quotes[0], found.coverage)
    context.trace.record("refuse", started, **decision.to_json())
    return decision


def _quote(quotes: Sequence[Quote]) -> Iterator[SentenceReady]:
    for number, quote in enumerate(quotes, start=1):
        yield quoted(quote, number)


def _write(
    found: Found,
    quotes: Sequence[Quote],
    snapshot: Snapshot,
    resources: Resources,
    writer: ChatModel,
    context: Context,
    draft: Draft,
) -> Iterator[SentenceReady]:
    packed = pack(found.candidates, resources.counter)
    checker = Checker(
        snapshot=snapshot,
        allowed=context.principal.labels,
        packed=packed,
        embedder=resources.embedders.multilingual,
        context=context,
    )
    return write(found.query.question, packed, quotes, writer, checker, draft)


def _writer(mode: Mode, resources: Resources) -> ChatModel | None:
    if mode == "extractive":
        return None
    if mode == "model" and resources.writer is None:
        raise UnsupportedOption(
            "No model is chosen to write answers.",
            remedy="Choose one with BANYAN_ANSWER_MODEL, or ask in mode extractive.",
        )
    return resources.writer


def _traced(hits: Sequence[Hits], best: Mapping[str, Sequence[Passage]]) -> dict[str, object]:
    """Per retriever the passages it put first, with its score of each."""
    return {
        found.retriever: [
            {"passage": passage.id, "score": round(float(score), 4)}
            for passage, score in zip(best[found.retriever], found.scores, strict=False)
        ]
        for found in hits
    }
