"""Rerank close results by query likelihood (Ponte and Croft 1998; Sachan et al. 2022).

That is how likely a language model finds the question after reading each passage.

Only English, because the packaged model reads little else, and only where the first two are close:
that is where it was measured to help. The score of the best few is z-scored and added.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from banyan.core.context import Context
from banyan.core.errors import ModelError, Overloaded
from banyan.core.ports import TextScorer
from banyan.knowledge.fuse import Candidate
from banyan.knowledge.retrieve import Query
from banyan.knowledge.weights import RERANK_DEPTH, RERANK_MARGIN, RERANK_WEIGHT

MAX_PASSAGE_CHARS = 2400
"""A longer passage is cut for the scorer: about 600 tokens, well inside a small context."""


def rerank(
    query: Query, candidates: Sequence[Candidate], scorer: TextScorer | None, context: Context
) -> list[Candidate]:
    """Reorder the first few by query likelihood, or return them as they are; traced either way.

    A scorer that fails does not fail the question: the trace says so.
    """
    started = time.perf_counter()
    reason = _reason_not_to(query, candidates, scorer)
    if reason or scorer is None:
        context.trace.record("rerank", started, skipped=reason)
        return list(candidates)
    head = list(candidates[:RERANK_DEPTH])
    try:
        likelihoods = _likelihoods(query, head, scorer, context)
    except (ModelError, Overloaded) as error:
        context.trace.record("rerank", started, skipped=f"the scorer failed: {error}")
        return list(candidates)
    head = [
        _with_likelihood(candidate, likelihood, standard)
        for candidate, likelihood, standard in zip(
            head, likelihoods, _standardised(likelihoods), strict=True
        )
    ]
    scores = {c.passage.id: c.passage.scores["rerank"] for c in head}
    context.trace.record("rerank", started, likelihood=scores)
    reordered = head + list(candidates[RERANK_DEPTH:])
    return sorted(reordered, key=lambda candidate: -candidate.passage.score)


def _reason_not_to(query: Query, candidates: Sequence[Candidate], scorer: TextScorer | None) -> str:
    head = candidates[:RERANK_DEPTH]
    if scorer is None:
        return "no scorer"
    if len(head) < 2:
        return "nothing to reorder"
    if query.question.language != "en" or any(c.passage.language != "en" for c in head):
        return "not English"
    if head[0].passage.score - head[1].passage.score >= RERANK_MARGIN:
        return "the first is well ahead"
    return ""


def _likelihoods(
    query: Query, head: Sequence[Candidate], scorer: TextScorer, context: Context
) -> list[float]:
    """The mean log-probability of the question's tokens after each passage."""
    pairs = [
        (
            f"Passage: {c.passage.title}\n{c.passage.text.strip()[:MAX_PASSAGE_CHARS]}\nQuestion:",
            f" {query.question.text}",
        )
        for c in head
    ]
    return [
        float(np.mean([token.logprob or 0.0 for token in tokens])) if tokens else 0.0
        for tokens in scorer.score(pairs, context)
    ]


def _standardised(values: Sequence[float]) -> list[float]:
    spread = float(np.std(values))
    mean = float(np.mean(values))
    return [(value - mean) / spread if spread > 0 else 0.0 for value in values]


def _with_likelihood(candidate: Candidate, likelihood: float, standard: float) -> Candidate:
    score = candidate.passage.score + RERANK_WEIGHT * standard
    scores = {**candidate.passage.scores, "rerank": likelihood}
    return replace(candidate, passage=replace(candidate.passage, score=score, scores=scores))
