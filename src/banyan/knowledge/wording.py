"""The words of a question that ask, as against those that say what is asked about.

"How much does the licence cost?" is about "licence cost". Dropping the asking words helps the
keyword ranking everywhere and matters most in a small base, where "how" may be the rarest word.
Lists, not a model; English and Chinese (simplified and traditional).
"""

from __future__ import annotations

import re

from banyan.knowledge.language import CJK
from banyan.knowledge.terms import terms

_ENGLISH = re.compile(
    "a|an|the|of|in|on|at|to|for|from|by|with|and|or|but|is|are|was|were|be|been|being|am|do|"
    "does|did|done|has|have|had|having|what|which|who|whom|whose|when|where|why|how|it|its|"
    "this|that|these|those|there|here|as|into|than|then|so|can|could|would|should|may|might|"
    "must|will|shall|not|no|any|some|such|he|she|they|them|him|his|her|hers|their|theirs|you|"
    "your|yours|i|we|our|ours|us|me|my|mine|about|please|tell|over|under|between|"
    "during|through|also|very|too|just|if|because|while|both|each",
    re.IGNORECASE,
)
_ENGLISH_PHRASES = re.compile(
    r"\bhow (?:many|much|long|often)\b|\bwhat happens\b|\b\w+n['’]t\b|\blet['’]s\b|['’]s\b",
    re.IGNORECASE,
)
_ENGLISH_WORD = re.compile(r"[A-Za-z]+")
_CHINESE = re.compile(
    "(?:是|会|會)?[什甚][么麼]意思|怎[么麼][办辦]|会怎[么麼]|會怎麼|什么时候|什麼時候|甚麼時候|为什么|為什麼|為甚麼|是什么|是什麼|什么样|什麼樣|有?什么|有?什麼|有?甚麼|"
    "哪一年|哪一[个個种種位]|有?哪些|哪[年里裡儿兒个個位种種]|哪|有?多少|有?[几幾]|"
    "怎[么麼][样樣]?|怎[样樣]|如何|[为為]何|何[时時处處地种種人]|何|[谁誰]|"
    "请问|請問|请|請|是否|能否|可否|可以|能不能|有没有|有沒有|"
    "[吗嗎呢吧啊呀]|的|了|是|它[们們]?|[他她][们們]|[这這那][个個些种種]|^[他她该該那这這]"
)
_CHINESE_SMALL_WORDS = re.compile("[在于於被和与與及或有由还還也就都吗嗎那这這他她]|另外|其中|其他")
_CJK_CHARACTER = re.compile(f"[{CJK}]")


def content_text(question: str) -> str:
    """``question`` with every asking word blanked out; all of it where nothing would be left."""
    left = _without_asking(question)
    return left if terms(left) else question


def has_content(question: str) -> bool:
    """Whether the question names anything besides asking and small words."""
    return bool(terms(_CHINESE_SMALL_WORDS.sub(" ", _without_asking(question))))


def content_terms(question: str) -> list[str]:
    """The distinct keyword terms that say what is asked about, in order."""
    return list(dict.fromkeys(terms(content_text(question))))


def characters(text: str) -> list[str]:
    """The distinct Chinese characters of ``text``, in order."""
    return list(dict.fromkeys(_CJK_CHARACTER.findall(text)))


def _is_asking(word: re.Match[str]) -> bool:
    # A capital inside, or capitals throughout ("IT", "US"), make it a name.
    text = word.group()
    return _ENGLISH.fullmatch(text) is not None and not (
        len(text) > 1 and text[1:] != text[1:].lower()
    )


def _without_asking(question: str) -> str:
    left = _CHINESE.sub(" ", _ENGLISH_PHRASES.sub(" ", question))
    return _ENGLISH_WORD.sub(lambda word: " " if _is_asking(word) else word.group(), left)
