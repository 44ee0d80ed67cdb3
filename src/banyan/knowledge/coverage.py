"""Coverage: how much of what a question asks about occurs in a text, each term by its weight.

A term weighs its idf among what the caller may see, so a rare name counts more than a common
verb. Chinese pairs of characters are joined by the single characters, at the weight of the most
common pair they stand in: a reworded term still counts in part.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from banyan.knowledge.prepare import Question
from banyan.knowledge.snapshot import Allowed, Snapshot
from banyan.knowledge.terms import terms
from banyan.knowledge.wording import characters, content_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The weighted terms of one question."""

    weights: dict[str, float]

    @classmethod
    def of(cls, question: Question, snapshot: Snapshot, allowed: Allowed) -> Coverage:
        idf = snapshot.idf(question.terms, allowed).tolist()
        weighted = dict(zip(question.terms, idf, strict=True))
        pairs = dict(weighted)
        for character in characters(content_text(question.text)):
            around = [weight for term, weight in pairs.items() if character in term]
            if character not in weighted and around:
                weighted[character] = min(around)
        return cls(weights=weighted)

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


def text_terms(text: str) -> frozenset[str]:
    """What coverage looks for in a text: its keyword terms and its single Chinese characters."""
    return frozenset(terms(text)).union(characters(text))
