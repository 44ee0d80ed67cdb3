"""The language of a text by the share of its scripts: English or Chinese, nothing finer.

Two languages are told apart because two kinds of word breaking, stemming and embedding exist
here. Japanese and Korean count as Chinese (character bigrams serve them); every other script is
treated as English (words between spaces).
"""

from __future__ import annotations

import re

from banyan.core.types import Language

CJK = (
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
"""The inside of a regular expression's character class: characters that stand for words."""

_CJK_CHARACTER = re.compile(f"[{CJK}]")
_SPACED_WORD = re.compile(f"[^\\W\\d_{CJK}]+")
_SAMPLE_CHARS = 50_000
_CHINESE_SHARE = 0.4


def detect(text: str) -> Language:
    """``zh`` where at least 40 % of the words are CJK characters, each counted as a word.

    The share is low because Chinese technical text is full of English names; only the first
    50,000 characters are looked at.
    """
    sample = text[:_SAMPLE_CHARS]
    characters = sum(1 for _ in _CJK_CHARACTER.finditer(sample))
    if not characters:
        return "en"
    words = sum(1 for _ in _SPACED_WORD.finditer(sample))
    return "zh" if characters >= _CHINESE_SHARE * (characters + words) else "en"
