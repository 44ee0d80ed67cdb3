"""The characters of a PDF page as runs: stretches of one line that belong together."""

from __future__ import annotations

import ctypes
import itertools
import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

_BOLD = re.compile(r"bold|black|heavy|semib|-medi|cmbx|demi", re.IGNORECASE)
_BOLD_WEIGHT = 600
_CELL_GAP = 1.5
_LINE_END_GAP = 0.8
_WORD_GAP = 0.2
_LINE_HYPHENS = (0x02, 0xFFFE)  # what pdfium gives for a hyphen at the end of a line
_LIGATURES = {
    "\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl",
    "\ufb05": "st", "\ufb06": "st",
}  # fmt: skip


Box = tuple[float, float, float, float]
"""Left, bottom, right, top in points."""


@dataclass(slots=True, kw_only=True)
class Run:
    """Text on one line and its box in points, y upwards. ``rows`` makes it a table instead.

    ``size`` is the font size in points, to the half; ``rotated`` text stands at an angle to the
    page's; ``unmapped`` text is in a font without meaning.
    """

    text: str
    left: float
    bottom: float
    right: float
    top: float
    size: float
    bold: bool = False
    rotated: bool = False
    unmapped: bool = False
    rows: list[list[str]] = field(default_factory=list)

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.top - self.bottom

    @property
    def middle(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.bottom + self.top) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The runs of a page and the y of its lower and upper edge."""

    runs: list[Run]
    bottom: float
    top: float


@dataclass(frozen=True, slots=True)
class Rule:
    """A level or upright line: at ``at``, from ``start`` to ``end`` along the other axis."""

    upright: bool
    at: float
    start: float
    end: float

    def crosses(self, other: Rule, slack: float) -> bool:
        """Whether a level and an upright rule meet, give or take ``slack`` points."""
        return (
            other.start - slack <= self.at <= other.end + slack
            and self.start - slack <= other.at <= self.end + slack
        )


@dataclass(slots=True)
class _Glyph:
    index: int
    text: str
    left: float
    bottom: float
    right: float
    top: float
    gap_before: str  # "", " " or "\n": the white space pdfium saw in front


def read_page(textpage: pdfium.PdfTextPage, mediabox: Box, walls: Sequence[Rule] = ()) -> Page:
    """The page's runs in the order of its content stream, turned so that most text is upright.

    ``walls`` are upright rules, ascending, which no run crosses. Text in a font that does not say
    which characters its glyphs are is left out: what pdfium gives for it is noise.
    """
    quadrant = _main_quadrant(textpage)
    runs: list[Run] = []
    gathered: list[_Glyph] = []
    for glyph in _glyphs(textpage, quadrant):
        if gathered and not _belongs(textpage, gathered[-1], glyph, walls, quadrant):
            runs.append(_run(textpage, gathered, quadrant))
            gathered = []
        gathered.append(glyph)
    if gathered:
        runs.append(_run(textpage, gathered, quadrant))
    _, bottom, _, top = _turn(*mediabox, quadrant)
    runs = [run for run in runs if run.text.strip() and not run.unmapped]
    return Page(runs=runs, bottom=bottom, top=top)


def _belongs(
    textpage: pdfium.PdfTextPage,
    one: _Glyph,
    other: _Glyph,
    walls: Sequence[Rule],
    quadrant: int,
) -> bool:
    if _continues(one, other):
        return other.left <= one.right or not _is_walled(one, other, walls)
    angles = [_quadrant(textpage, glyph.index) for glyph in (one, other)]
    return angles[0] == angles[1] != quadrant and other.gap_before != "\n"


def _is_walled(one: _Glyph, other: _Glyph, walls: Sequence[Rule]) -> bool:
    """Whether an upright rule stands between two glyphs of one line."""
    y = (other.bottom + other.top) / 2
    first = bisect_left(walls, one.right - 1.0, key=lambda rule: rule.at)
    for rule in itertools.islice(walls, first, None):
        if rule.at > other.left + 1.0:
            return False
        if rule.start <= y <= rule.end:
            return True
    return False


def _glyphs(textpage: pdfium.PdfTextPage, quadrant: int) -> Iterator[_Glyph]:
    box, gap = pdfium_c.FS_RECTF(), ""
    unicode_at, box_at = pdfium_c.FPDFText_GetUnicode, pdfium_c.FPDFText_GetLooseCharBox
    for index in range(textpage.count_chars()):
        code = unicode_at(textpage, index)
        if code in _LINE_HYPHENS:
            code = ord("-")
        if code in (10, 13):
            gap = "\n"
        elif code <= 32 or code == 160:
            gap = gap or " "
        elif box_at(textpage, index, box):
            text = chr(code)
            left, bottom, right, top = _turn(box.left, box.bottom, box.right, box.top, quadrant)
            yield _Glyph(index, _LIGATURES.get(text, text), left, bottom, right, top, gap)
            gap = ""


def _continues(one: _Glyph, other: _Glyph) -> bool:
    """Whether ``other`` stands on the line of ``one``, near enough to be read with it."""
    height = min(one.top - one.bottom, other.top - other.bottom)
    overlap = min(one.top, other.top) - max(one.bottom, other.bottom)
    if overlap < 0.4 * height:
        return False
    size = max(one.top - one.bottom, other.top - other.bottom, 1.0)
    widest = _LINE_END_GAP if other.gap_before == "\n" else _CELL_GAP
    # A ligature gives several characters one box, so the left edges may be equal.
    return other.left >= one.left - 0.2 * size and other.left - one.right <= widest * size


def _run(textpage: pdfium.PdfTextPage, glyphs: list[_Glyph], quadrant: int) -> Run:
    parts = [glyphs[0].text]
    for one, other in itertools.pairwise(glyphs):
        is_apart = other.left - one.right > _WORD_GAP * (other.top - other.bottom)
        parts.append((" " if other.gap_before or is_apart else "") + other.text)
    first, middle, last = (glyphs[i].index for i in (0, len(glyphs) // 2, -1))
    return Run(
        text="".join(parts),
        left=min(glyph.left for glyph in glyphs),
        bottom=min(glyph.bottom for glyph in glyphs),
        right=max(glyph.right for glyph in glyphs),
        top=max(glyph.top for glyph in glyphs),
        # Small capitals begin with the larger letter, superscripts and drop caps are one glyph.
        size=max(_font_size(textpage, first), _font_size(textpage, middle)),
        bold=all(_is_bold(textpage, index) for index in (first, middle, last)),
        rotated=_quadrant(textpage, middle) != quadrant,
        unmapped=all(
            pdfium_c.FPDFText_HasUnicodeMapError(textpage, index) == 1 for index in (first, middle)
        ),
    )


def _font_size(textpage: pdfium.PdfTextPage, index: int) -> float:
    """In points on the page: the font's own size times the scale of the text matrix."""
    matrix = pdfium_c.FS_MATRIX()
    size: float = pdfium_c.FPDFText_GetFontSize(textpage, index)
    if pdfium_c.FPDFText_GetMatrix(textpage, index, matrix):
        size *= math.hypot(matrix.c, matrix.d)
    return round(size * 2) / 2


def _is_bold(textpage: pdfium.PdfTextPage, index: int) -> bool:
    if pdfium_c.FPDFText_GetFontWeight(textpage, index) >= _BOLD_WEIGHT:
        return True
    name, flags = ctypes.create_string_buffer(128), ctypes.c_int()
    pdfium_c.FPDFText_GetFontInfo(textpage, index, name, 128, flags)
    return bool(_BOLD.search(name.value.decode("utf-8", errors="replace")))


def _quadrant(textpage: pdfium.PdfTextPage, index: int) -> int:
    """The direction of a character in quarter turns; pdfium gives radians, or -1 for none."""
    angle: float = pdfium_c.FPDFText_GetCharAngle(textpage, index)
    return round(angle / (math.pi / 2)) % 4 if angle >= 0 else 0


def _main_quadrant(textpage: pdfium.PdfTextPage) -> int:
    count = textpage.count_chars()
    sample = [_quadrant(textpage, index) for index in range(0, count, max(count // 64, 1))]
    return max(set(sample), key=sample.count, default=0)


def _turn(left: float, bottom: float, right: float, top: float, quadrant: int) -> Box:
    """A box on a page turned back by ``quadrant`` quarter turns (anticlockwise text upright)."""
    if quadrant == 1:
        return bottom, -right, top, -left
    if quadrant == 2:
        return -right, -top, -left, -bottom
    if quadrant == 3:
        return -top, left, -bottom, right
    return left, bottom, right, top
