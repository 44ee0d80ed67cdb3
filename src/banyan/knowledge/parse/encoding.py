"""From bytes to text: which encoding, with Chinese ones told apart by their common characters."""

from __future__ import annotations

import codecs

from banyan.core.errors import BrokenDocument

_SAMPLE_BYTES = 256 * 1024
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_COMMON = frozenset(
    "的一是不了在人有我他這这個个們们中來来上大為为和國国地到以說说時时要就出會会可也你對对生能而子那得于於"
    "着著下自之年過过發发後后作里用道行所然家種种事成方多經经么麼去法學学如都同現现當当沒没動动面起看定天分還还進进好小"
)
_COMMON_SHARE = 0.08
_CONTROLS = bytes(set(range(32)) - {9, 10, 12, 13, 27})
_STRANGE = 0.02
_TOLERATED = 0.001
_ACCENTS_SHARE = 0.15


def is_text(head: bytes) -> bool:
    """Whether the beginning of a file looks like text in any encoding read here."""
    if head.startswith(tuple(bom for bom, _ in _BOMS)):
        return True
    if b"\0" in head:
        return _bare_utf16(head) is not None
    controls = len(head) - len(head.translate(None, _CONTROLS))
    return controls <= len(head) * _STRANGE


def decode(data: bytes, name: str) -> str:
    """The text of ``data``; raises ``BrokenDocument`` for bytes that are text in no encoding."""
    encoding = _find(data)
    if encoding is None:
        raise BrokenDocument(
            f"{name} holds NUL bytes: it is binary data or damaged.",
            remedy="Find the file that was meant.",
        )
    return data.decode(encoding, errors="replace")


def _find(data: bytes) -> str | None:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return encoding
    if b"\0" in data:
        return _bare_utf16(data[:_SAMPLE_BYTES])
    try:
        data.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        return _without_unicode(data[:_SAMPLE_BYTES])


def _bare_utf16(sample: bytes) -> str | None:
    """UTF-16 without a mark: half of the bytes of its spaces, digits and line ends are NUL."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if max(even, odd) < len(sample) * 0.01 or min(even, odd) > max(even, odd) * 0.3:
        return None
    encoding = "utf-16-be" if even > odd else "utf-16-le"
    text = sample.decode(encoding, errors="replace")
    strange = sum((char < " " and char not in "\t\n\f\r") or char == "\ufffd" for char in text)
    return encoding if strange <= max(1, len(text) * _STRANGE) else None


def _without_unicode(sample: bytes) -> str:
    damaged = sample.decode("utf-8", errors="replace")
    if damaged.count("\ufffd") <= max(2, len(damaged) * _TOLERATED) and _has_letters(damaged):
        return "utf-8"
    shares = {encoding: _common_share(sample, encoding) for encoding in ("gb18030", "big5hkscs")}
    best = max(shares, key=lambda encoding: shares[encoding])
    if shares[best] >= _COMMON_SHARE:
        return best
    if len(sample.translate(None, bytes(range(128)))) < _ACCENTS_SHARE * len(sample):
        return "cp1252"  # a few accents among ASCII letters, too few to guess by
    from charset_normalizer import from_bytes  # slow to import, seldom needed

    guess = from_bytes(sample).best()
    return guess.encoding if guess is not None else "cp1252"


def _has_letters(text: str) -> bool:
    """Whether some non-ASCII letter decoded well, which chance hardly allows in UTF-8."""
    return any(char > "\x7f" and char != "\ufffd" for char in text)


def _common_share(sample: bytes, encoding: str) -> float:
    """The share of the non-ASCII characters, so decoded, that are among the commonest Han."""
    text = sample.decode(encoding, errors="replace")
    foreign = [char for char in text if char > "\x7f"]
    return sum(char in _COMMON for char in foreign) / max(len(foreign), 1)
