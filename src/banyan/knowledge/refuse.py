"""Refuse: whether the best passages answer the question at all.

A logistic regression over four features that need no language model: how much of the question the
best passage covers, how much the chosen sentence does, how far the first passage is ahead, and the
chosen sentence's cosine. The weights follow the languages (``weights.py`` says how they were
fitted). Covering nothing of the question's words says little across languages, so there the cosine
and the margin decide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from banyan.knowledge import weights
from banyan.knowledge.coverage import Coverage, text_terms
from banyan.knowledge.fuse import Candidate
from banyan.knowledge.retrieve import Query
from banyan.knowledge.select import Quote
from banyan.knowledge.weights import RefusalWeights

LONE_MARGIN = 0.3
"""The margin taken for a single passage, which is ahead of nothing: a middling one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The features of the decision."""

    coverage: float
    sentence_overlap: float
    margin: float
    sentence_cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """``probability`` is that of the answer not being there; ``refuse`` when above one half."""

    evidence: Evidence
    probability: float

    @property
    def refuse(self) -> bool:
        return self.probability > 0.5

    def to_json(self) -> dict[str, object]:
        return {
            "refuse": self.refuse,
            "probability": round(self.probability, 4),
            **{name: round(value, 4) for name, value in asdict(self.evidence).items()},
        }


def decide(
    query: Query, candidates: Sequence[Candidate], quote: Quote, coverage: Coverage
) -> Decision:
    """Decide by the best passages (at least one) and the sentence that would be quoted."""
    evidence = gather(candidates, quote, coverage)
    by = refusal_weights(query, across=quote.candidate.across)
    total = (
        by.intercept
        + by.coverage * evidence.coverage
        + by.sentence_overlap * evidence.sentence_overlap
        + by.margin * evidence.margin
        + by.sentence_cosine * evidence.sentence_cosine
    )
    return Decision(evidence=evidence, probability=1 / (1 + math.exp(-total)))


def gather(candidates: Sequence[Candidate], quote: Quote, coverage: Coverage) -> Evidence:
    """The features; the margin is that of the fused scores, before any reranking."""
    top = candidates[0].passage
    words = text_terms(" ".join((top.title, *top.heading_path, top.text)))
    fused = sorted((c.passage.scores["fused"] for c in candidates), reverse=True)
    return Evidence(
        coverage=coverage.share(words),
        sentence_overlap=quote.overlap,
        margin=fused[0] - fused[1] if len(fused) > 1 else LONE_MARGIN,
        sentence_cosine=quote.hit.cosine,
    )


def refusal_weights(query: Query, *, across: bool) -> RefusalWeights:
    if across:
        return weights.REFUSE_ACROSS
    if query.question.language == "zh":
        return weights.REFUSE_CHINESE
    minilm = query.leading == "minilm"
    return weights.REFUSE_MINILM if minilm else weights.REFUSE_MULTILINGUAL_EN
