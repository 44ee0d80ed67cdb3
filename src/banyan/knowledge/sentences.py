"""Where sentences begin and end, in English and Chinese text.

Rules, not a model: a terminator ends a sentence unless what stands around it says otherwise
(abbreviations, initials, decimals, numbered lines, a lower-case continuation). A line break ends
one too, except before a lower-case letter, because parsers here join wrapped lines themselves. A
table row is one sentence whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from banyan.knowledge.language import CJK

_LINE = re.compile(r"[^\n]+")
_HAS_WORD = re.compile(r"\w")
_CLOSERS = "[\"'”’」』）)\\]】》〉]"
_TERMINATOR = re.compile(
    f"""
    (?P<chinese> [。｡！？；]+ [。｡！？；!?…]* {_CLOSERS}* )      # always a boundary
  | (?P<ellipsis> …+ {_CLOSERS}* (?=\\s|$) )
  | (?P<exclamation> [!?]+ {_CLOSERS}* (?=[\\s{CJK}]|$) )
  | (?P<period> \\.+ {_CLOSERS}* (?:\\[\\d+\\])* (?=\\s|$) )
    """,
    re.VERBOSE,
)
_WORD_BEFORE = re.compile(r"[^\W_](?:[\w.&'’-]*[^\W_])?$")
_NUMBERING = re.compile(r"\s*[(\[]?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})(?:\.\d{1,3})*$")
_CONTINUATION = re.compile(r"\s*[a-zà-öø-ÿ,;:，、；：)）\]]")
_CHINESE_CONTINUATION = re.compile(r"\s*[，、：；。,]")
_DIGIT_NEXT = re.compile(r"\s*[#(]?\d")
_FIRST_WORD = re.compile(r"\s*[\"'“‘(]*([^\W\d_]+)")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BEFORE_A_NAME = _words(
    "mr mrs ms mx dr prof rev fr gen col maj capt cpt lt sgt cmdr gov sen rep pres hon st mt ft "
    "messrs mme mlle e.g i.e cf viz vs v approx ca resp incl esp"
)
_BEFORE_A_NUMBER = _words(
    "no nos fig figs vol vols p pp eq eqs sec ch chap art ex ver tab jan feb mar apr jun jul aug "
    "sep sept oct nov dec"
)
_PERHAPS_THE_END = _words(
    "etc inc ltd co corp bros jr sr al dept univ assn est ph.d m.d b.a m.a a.m p.m a.d b.c u.s "
    "u.k u.n e.u d.c"
)
_STARTERS = _words(
    "the a an this that these those it its he his she her they their we our you i in on at by "
    "for from with as if when while where after before since although though however but and or "
    "so yet there here what who why how which one some many most all both each no not then thus "
    "also according during under over"
)


def sentences(text: str) -> list[tuple[int, int]]:
    """The half-open ranges of the sentences of ``text``, in order and without overlap.

    Ranges begin and end on a character that is not white space and together hold every letter
    and digit of the text; a stretch without any (a rule, a table's dashes) is left out.
    """
    spans = []
    for start, end in _paragraphs(text):
        for first, last in _cut(text, start, end):
            while first < last and text[first].isspace():
                first += 1
            while last > first and text[last - 1].isspace():
                last -= 1
            if _HAS_WORD.search(text, first, last):
                spans.append((first, last))
    return spans


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """Lines, a line that goes on in lower case joined to the one before it."""
    start = end = -1
    for line in _LINE.finditer(text):
        adjacent = end >= 0 and line.start() == end + 1
        if adjacent and _is_wrapped(text, start, line.start()):
            end = line.end()
            continue
        if end >= 0:
            yield start, end
        start, end = line.span()
    if end >= 0:
        yield start, end


def _is_wrapped(text: str, start: int, next_line: int) -> bool:
    is_row = text.startswith("|", start) or text.startswith("|", next_line)
    return not is_row and text[next_line].islower()


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    if text.startswith("|", start):
        yield start, end
        return
    begin = start
    for match in _TERMINATOR.finditer(text, start, end):
        if match.end() < end and _is_boundary(text, begin, match, end):
            yield begin, match.end()
            begin = match.end()
    yield begin, end


def _is_boundary(text: str, begin: int, match: re.Match[str], end: int) -> bool:
    after = text[match.end() : min(end, match.end() + 40)]
    if match["chinese"]:
        return not _CHINESE_CONTINUATION.match(after)
    if _CONTINUATION.match(after):
        return False
    if match["period"] and not match["period"].startswith(".."):
        return _period_ends(text[max(begin, match.start() - 40) : match.start()], after)
    return True


def _period_ends(before: str, after: str) -> bool:
    """Whether a full stop between ``before`` (this sentence so far) and ``after`` ends it."""
    if _NUMBERING.fullmatch(before):
        return False
    word = _WORD_BEFORE.search(before)
    if word is None:
        return True
    name = word.group().lower()
    if name in _BEFORE_A_NAME:
        return False
    if name in _BEFORE_A_NUMBER:
        return not _DIGIT_NEXT.match(after)
    is_initial = len(name) == 1 and name.isalpha() and word.group().isupper()
    if is_initial or name in _PERHAPS_THE_END:
        following = _FIRST_WORD.match(after)
        return following is None or following.group(1).lower() in _STARTERS
    return True
