"""Coverage: how much of what a question asks about occurs in a text, each term by its weight.

A term weighs its idf among what the caller may see, so a rare name counts more than a common
verb. Chinese pairs of characters are joined by the single characters, at the weight of the most
common pair they stand in: a reworded term still counts in part. A Chinese word thus counts two or
three times, so a number or a Latin name beside it does, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from banyan.knowledge.prepare import Question
from banyan.knowledge.snapshot import Allowed, Snapshot
from banyan.knowledge.terms import terms
from banyan.knowledge.wording import characters, content_text

SPACED_WEIGHT = 2.0
"""What a number or Latin word weighs in a Chinese question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The weighted terms of one question."""

    weights: dict[str, float]

    @classmethod
    def of(cls, question: Question, snapshot: Snapshot, allowed: Allowed) -> Coverage:
        idf = snapshot.idf(question.terms, allowed).tolist()
        weighted = dict(zip(question.terms, idf, strict=True))
        singles = _singles(question, weighted)
        if singles:
            weighted = {
                term: weight if characters(term) else SPACED_WEIGHT * weight
                for term, weight in weighted.items()
            }
        return cls(weights=weighted | singles)

    @property
    def total(self) -> float:
        return sum(self.weights.values())

    def share(
        self, found: Set[str], *, discount: Set[str] = frozenset(), rate: float = 1.0
    ) -> float:
        """The weight of the terms ``found`` over all, 0..1; those in ``discount`` at ``rate``."""
        if self.total <= 0:
            return 0.0
        held = sum(
            weight * (rate if term in discount else 1.0)
            for term, weight in self.weights.items()
            if term in found
        )
        return held / self.total


def _singles(question: Question, weighted: Mapping[str, float]) -> dict[str, float]:
    """The single characters of the question's pairs, each at the weight of its commonest pair."""
    singles = {}
    for character in characters(content_text(question.text)):
        around = [weight for term, weight in weighted.items() if character in term]
        if character not in weighted and around:
            singles[character] = min(around)
    return singles


def text_terms(text: str) -> frozenset[str]:
    """What coverage looks for in a text: its keyword terms and its single Chinese characters."""
    return frozenset(terms(text)).union(characters(text))
