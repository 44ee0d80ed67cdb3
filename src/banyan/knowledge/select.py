"""Select the sentences of an answer: the best one of the best passages, and what it leaves open.

A sentence counts by the question's terms it holds (little by those of the document's title and of
the topic a follow-up borrows, because every sentence there is about them), those of the heading it
stands under counting as its own; by its cosine; by how good its passage and its document are; and
by standing first under a heading or a title, where a text says what it is about. A second and a
third sentence come only when they cover terms that nothing before them did.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from banyan.core.types import Citation
from banyan.knowledge import weights
from banyan.knowledge.coverage import Coverage, text_terms
from banyan.knowledge.fuse import Candidate
from banyan.knowledge.retrieve import Query
from banyan.knowledge.snapshot import SentenceHit
from banyan.knowledge.weights import SelectionWeights

PASSAGES_SHOWN = 5
"""Passages that come with an answer; what is quoted is in one of them."""

PASSAGES = 3
"""Sentences are chosen among those of the best three passages in one language."""

MAX_SENTENCES = 3
MAX_STATEMENT_CHARS = 200
"""Clauses are put together up to this length."""

MIN_GAIN = 0.15
"""The share of the question that a further sentence must newly cover."""

MIN_RELATIVE_COSINE = 0.6
"""How near the question a further sentence must be, as a share of the first one's cosine."""

_ASKS_A_NUMBER = re.compile(
    r"多少|[几幾][个個年天月次人种種歲岁点點]?|何時|何时|时候|時候|哪一?年|"
    r"\b(?:when|how (?:many|much|long|old|far|large|big|tall|high|often)|"
    r"(?:what|which) (?:year|date|day|month|percent|percentage|number))\b",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_HEADING_CHARS = 80
_CLOSED = re.compile(r"[.!?。！？…:：;；|][\"'”’」』）)\]]*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A sentence chosen to answer, and why."""

    candidate: Candidate
    hit: SentenceHit
    terms: frozenset[str]
    overlap: float
    score: float

    def citation(self, number: int) -> Citation:
        """The [number] that points at exactly this sentence."""
        passage = self.candidate.passage
        return Citation(
            number=number,
            passage_id=passage.id,
            document_id=passage.document_id,
            title=passage.title,
            page=passage.page,
            start=self.hit.start,
            end=self.hit.end,
            quote=self.hit.text,
        )


def select(query: Query, candidates: Sequence[Candidate], coverage: Coverage) -> list[Quote]:
    """One to ``MAX_SENTENCES`` quotes, the best first; none where there is no sentence."""
    ranked = rank_sentences(query, candidates, coverage)
    if not ranked:
        return []
    chosen = [ranked[0]]
    covered = ranked[0].terms
    for quote in ranked[1:]:
        if len(chosen) == MAX_SENTENCES:
            break
        gain = coverage.share(covered | quote.terms) - coverage.share(covered)
        near = quote.hit.cosine >= MIN_RELATIVE_COSINE * chosen[0].hit.cosine
        if gain >= MIN_GAIN and near and _is_new(quote, chosen):
            chosen.append(quote)
            covered |= quote.terms
    return chosen


def rank_sentences(
    query: Query, candidates: Sequence[Candidate], coverage: Coverage
) -> list[Quote]:
    """Every sentence of the best passages in the language of the very best, best first."""
    best: dict[str, float] = {}
    for candidate in candidates:
        best.setdefault(candidate.passage.document_id, candidate.passage.score)
    language = [
        candidate
        for candidate in candidates[:PASSAGES_SHOWN]
        if candidate.across == candidates[0].across
    ]
    quotes = [
        quote
        for candidate in language[:PASSAGES]
        for quote in _quotes(query, candidate, coverage, best[candidate.passage.document_id])
    ]
    return sorted(quotes, key=lambda quote: -quote.score)


def selection_weights(query: Query, *, across: bool) -> SelectionWeights:
    if across:
        return weights.SELECT_ACROSS
    return weights.SELECT_ENGLISH if query.question.language == "en" else weights.SELECT_CHINESE


def _quotes(
    query: Query, candidate: Candidate, coverage: Coverage, document_score: float
) -> list[Quote]:
    by = selection_weights(query, across=candidate.across)
    title = text_terms(f"{candidate.passage.title} {query.question.borrowed}")
    asks_number = _ASKS_A_NUMBER.search(query.question.text) is not None
    place = by.passage * candidate.passage.score + by.document * document_score
    section = text_terms(" ".join(candidate.passage.heading_path[-1:])) - title
    leads = False
    quotes = []
    for hit in statements(candidate):
        found = text_terms(hit.text)
        if _is_heading(candidate, hit):
            section, leads = found - title, True
            continue
        overlap = coverage.share(found | section, discount=title, rate=by.title)
        score = (
            place
            + overlap
            + by.cosine * hit.cosine
            + by.lead * leads * coverage.share(section)
            + by.number * (asks_number and _DIGIT.search(hit.text) is not None)
            + by.opening * (hit.start == 0) * coverage.share(title)
        )
        leads = False
        quotes.append(
            Quote(candidate=candidate, hit=hit, terms=found, overlap=overlap, score=score)
        )
    return quotes


def statements(candidate: Candidate) -> list[SentenceHit]:
    """The sentences, with clauses that a Chinese semicolon parts put together again.

    "甲；乙。" is one statement: a clause alone often lacks its subject. The cosine is the best
    clause's.
    """
    joined: list[SentenceHit] = []
    for hit in candidate.sentences:
        before = joined[-1] if joined else None
        if before is not None and _goes_on(candidate, before, hit):
            joined[-1] = replace(
                hit,
                start=before.start,
                text=_between(candidate, before.start, hit.end),
                cosine=max(before.cosine, hit.cosine),
            )
        else:
            joined.append(hit)
    return joined


def _goes_on(candidate: Candidate, before: SentenceHit, hit: SentenceHit) -> bool:
    parted = before.text.endswith("；") and hit.end - before.start <= MAX_STATEMENT_CHARS
    return parted and "\n" not in _between(candidate, before.end, hit.start)


def _between(candidate: Candidate, start: int, end: int) -> str:
    passage = candidate.passage
    return passage.text[start - passage.start : end - passage.start]


def _is_heading(candidate: Candidate, hit: SentenceHit) -> bool:
    """A short paragraph of one line without an end: it names what follows, it answers nothing."""
    passage = candidate.passage
    if hit.text in passage.heading_path or hit.text == passage.title:
        return True
    if len(hit.text) > _HEADING_CHARS or _CLOSED.search(hit.text):
        return False
    before = passage.text[: hit.start - passage.start]
    after = passage.text[hit.end - passage.start :]
    alone = not before.strip() or before.endswith("\n\n")
    return alone and after.startswith("\n\n") and bool(after.strip())


def _is_new(quote: Quote, chosen: Sequence[Quote]) -> bool:
    return all(quote.hit.text != before.hit.text for before in chosen)
