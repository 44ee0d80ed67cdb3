"""Prepare a question: its language, its content terms, and the topic it borrows if it has none.

A follow-up ("how much does it cost?", "and in Chinese?", "那价格呢？") is completed by rules from
the last turn: the borrowed topic is put behind the question in brackets, where a person can see
it. No model takes part; a question that names its own topic is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from banyan.core.errors import InputError
from banyan.core.types import Language
from banyan.knowledge.history import Turn
from banyan.knowledge.language import detect
from banyan.knowledge.terms import terms
from banyan.knowledge.wording import content_terms, content_text, has_content

MAX_TOPIC_TERMS = 12
"""A borrowed topic longer than this would drown the question that borrows it."""

_PRONOUN = re.compile(
    r"\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|that one|this one|the same)\b"
    r"|\b(?:this|that|these|those)\s*(?:[?.!,]|$|is|are|was|were|do|does|did|can|will|has|have)"
    r"|\b(?:is|are|was|were|does|did|about|of|for|with)\s+(?:this|that|these|those)\b(?=\s+\w+[?]?$|[?]?$)",
    re.IGNORECASE,
)
_CONNECTIVE = re.compile(
    r"\s*(?:and|but|or|also|so|then|what about|how about|what else|why not)\b", re.IGNORECASE
)
_CHINESE_PRONOUN = re.compile("它|他[们們]?(?!山)|她|[这這那](?:[个個些种種]|呢|是)|[该該](?!不)")
_CHINESE_CONNECTIVE = re.compile(r"\s*(?:那[么麼]?|还有|還有|另外|然后|然後|以及|其中)")
_CHINESE_ELLIPSIS = re.compile(r"呢\s*[?？]?\s*$")
_NAME = re.compile(r"(?<!^)\b(?!I\b)(?:[A-Z][\w-]*|[a-z]+[A-Z]\w*|\w*[A-Za-z]\d\w*)")
_EDGES = " \t?？!！.。,，;；:：、\"'“”‘’()（）《》"
_WHAT_OF_IT = re.compile(r"(?:what|which|how)\b", re.IGNORECASE)
_OPENER = re.compile(
    r"(?:what|which|who|whom|whose|when|where|why|how|is|are|was|were|do|does|did|can|could|will|"
    r"would|should|has|have|had|may|must)\b",
    re.IGNORECASE,
)
_FRAGMENT_TERMS = 2
_ANAPHORIC_TERMS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question ready to be searched for.

    ``asked`` is what was typed, ``text`` how it is understood, ``terms`` the keyword terms of its
    content, ``topic`` what a follow-up would borrow from it; ``borrowed`` is what it borrowed.
    """

    asked: str
    text: str
    language: Language
    terms: tuple[str, ...]
    topic: str
    borrowed: str = ""


def prepare(asked: str, turns: Sequence[Turn] = ()) -> Question:
    """Understand ``asked`` after ``turns`` (oldest first); raises ``InputError`` when empty."""
    asked = " ".join(asked.split())
    if not terms(asked):
        raise InputError("The question is empty.", remedy="Ask in a few words.")
    borrowed = _borrow(asked, turns[-1]) if turns else ""
    text = f"{asked} ({borrowed})" if borrowed else asked
    topic = borrowed or " ".join(_words(asked))
    return Question(
        asked=asked,
        text=text,
        language=detect(asked),
        terms=tuple(content_terms(text)),
        topic=topic,
        borrowed=borrowed,
    )


def _borrow(asked: str, before: Turn) -> str:
    """The topic ``asked`` takes from the turn before it, or nothing."""
    if _continues(asked):
        parts = [before.topic, *_own_words(before)]
    elif _refers_back(asked):
        parts = [before.topic]
    else:
        return ""
    words = list(dict.fromkeys(" ".join(parts).split()))
    return " ".join(words[:MAX_TOPIC_TERMS])


def _own_words(turn: Turn) -> list[str]:
    """What the turn before asked of its topic: "and in Chinese?" is about that, too."""
    return _words(turn.question) if has_content(turn.question) else []


def _words(text: str) -> list[str]:
    """The content words, without the punctuation around them."""
    return [word for raw in content_text(text).split() if (word := raw.strip(_EDGES))]


def _continues(asked: str) -> bool:
    """An ellipsis: it has no sentence of its own."""
    if not has_content(asked):
        return True
    size = _size(asked)
    if _CHINESE_ELLIPSIS.search(asked) or _CHINESE_CONNECTIVE.match(asked):
        return size <= _ANAPHORIC_TERMS + 2
    if _CONNECTIVE.match(asked):
        return size <= _ANAPHORIC_TERMS
    return asked.endswith("?") and size <= _FRAGMENT_TERMS and _is_fragment(asked)


def _refers_back(asked: str) -> bool:
    """A pronoun that nothing before it in the question can stand for."""
    if _CHINESE_PRONOUN.search(asked):
        return _size(asked) <= 2 * _ANAPHORIC_TERMS
    pronoun = _PRONOUN.search(asked)
    if pronoun is None or _size(asked) > _ANAPHORIC_TERMS:
        return False
    before = asked[: pronoun.start()]
    if _NAME.search(before):
        return False
    return _WHAT_OF_IT.match(asked) is not None or not has_content(before)


def _size(asked: str) -> int:
    return len(content_terms(asked)) if has_content(asked) else 0


def _is_fragment(asked: str) -> bool:
    """Nothing but content and small words: no question word, no verb that asks, no name."""
    return detect(asked) == "en" and not _NAME.search(asked) and _OPENER.match(asked) is None
