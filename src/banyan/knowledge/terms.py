"""Terms: what a keyword index counts in a text. The index and the question use the same ones.

A run of letters and digits is one term, lower-cased, stemmed lightly if it is English; a number
keeps its decimals and loses its thousands separators. Scripts written without spaces (Chinese,
Japanese) and Korean become overlapping pairs of characters, or the single character where a run
has only one. What a term is follows from the script alone, so that a question in one language
matches the same words inside a text of another. Traditional and simplified characters stay apart.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import lru_cache

import snowballstemmer

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_RUN = re.compile(rf"[{_UNSPACED}]+|(?:(?![{_UNSPACED}])[^\W_])+(?:[.,]\d+)*")
_ASCII_RUN = re.compile(r"[a-z0-9]+(?:[.,][0-9]+)*")
_FIRST_UNSPACED = re.compile(rf"[{_UNSPACED}]")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")

_STEMMED_WORDS_KEPT = 1 << 16


def terms(text: str) -> list[str]:
    """The terms of ``text`` in order, repeats included."""
    if text.isascii():
        return [_word(run) for run in _ASCII_RUN.findall(text.lower())]
    found: list[str] = []
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).lower()):
        if _FIRST_UNSPACED.match(run):
            found.extend(_pairs(run))
        else:
            found.append(_word(run))
    return found


def _pairs(run: str) -> list[str]:
    return [run[index : index + 2] for index in range(len(run) - 1)] or [run]


@lru_cache(maxsize=_STEMMED_WORDS_KEPT)
def _word(run: str) -> str:
    """One spaced word, stemmed (Porter's second English stemmer); pure, hence safe to remember."""
    if run.isalpha():
        with _STEMMING:
            stem: str = _STEMMER.stemWord(run)
        return stem
    if _THOUSANDS.fullmatch(run):
        return run.replace(",", "")
    return run


_STEMMING = threading.Lock()  # the stemmer works in its own fields
_STEMMER = snowballstemmer.stemmer("english")
