"""Pack passages into a prompt: numbered by rank, within a token budget, the best at the ends.

Models read the beginning and the end of a long prompt best (Liu et al. 2023, "Lost in the
middle"), so the passages are laid out 1, 3, 5 ... 4, 2; the numbers stay those of the ranking.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from banyan.core.ports import TokenCounter
from banyan.knowledge.fuse import Candidate
from banyan.knowledge.language import CJK
from banyan.knowledge.sentences import sentences

PASSAGE_BUDGET_TOKENS = 1200
"""Tokens of passages in one prompt; a small model's context of 2,048 holds it with an answer."""

MAX_PASSAGES = 5
"""Not more than are shown with the answer."""

_HEADER_TOKENS = 24
_CJK_CHARACTER = re.compile(f"[{CJK}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A passage as the writer sees it: its number and the text that fitted."""

    number: int
    candidate: Candidate
    text: str


class RoughCounter:
    """A ``TokenCounter`` for a model whose tokenizer is elsewhere: it rather counts too many."""

    def count(self, text: str) -> int:
        characters = len(_CJK_CHARACTER.findall(text))
        return characters + (len(text) - characters) // 3 + 1


def pack(
    candidates: Sequence[Candidate],
    counter: TokenCounter,
    *,
    budget_tokens: int = PASSAGE_BUDGET_TOKENS,
) -> list[Packed]:
    """The best passages that fit, in prompt order; the first is cut rather than left out."""
    packed: list[Packed] = []
    left = budget_tokens
    for candidate in candidates[:MAX_PASSAGES]:
        text = candidate.passage.text.strip()
        cost = counter.count(text) + _HEADER_TOKENS
        if cost > left:
            if packed:
                continue
            text = _cut(text, left - _HEADER_TOKENS, counter)
            cost = left
        packed.append(Packed(number=len(packed) + 1, candidate=candidate, text=text))
        left -= cost
    return packed[0::2] + packed[1::2][::-1]


def _cut(text: str, budget_tokens: int, counter: TokenCounter) -> str:
    """The leading sentences that fit; at least a beginning of the first."""
    end = 0
    for _, stop in sentences(text):
        if counter.count(text[:stop]) > budget_tokens:
            break
        end = stop
    return text[:end] or text[: max(budget_tokens, 1)]
