"""A spreadsheet's value as its number format shows it: dates, percentages, thousands, currency."""

from __future__ import annotations

import datetime
import re
from decimal import ROUND_HALF_UP, Decimal

_LITERALS = re.compile(r'"([^"]*)"|\\(.)|\[\$([^\]-]*)[^\]]*\]|[_*].|\[[^\]]*\]')
_DECIMALS = re.compile(r"\.([0#?]+)")
_CURRENCY = re.compile("[$€£¥￥₩₹]")


def shown(value: object, number_format: str | None) -> str:
    """The text a person sees in the cell."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, float)):
        return _number(value, number_format or "General")
    if isinstance(value, datetime.datetime):
        is_date = value.time() == datetime.time()
        return value.date().isoformat() if is_date else value.isoformat(" ", "minutes")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value)


def _number(value: float, number_format: str) -> str:
    section = number_format.split(";")[0]
    literals = "".join("".join(found) for found in _LITERALS.findall(section))
    pattern = _LITERALS.sub("", section)
    if pattern in ("General", "@", "") or "E" in pattern or "/" in pattern:
        return _general(value)
    percent = "%" in pattern
    decimals = _DECIMALS.search(pattern)
    places = len(decimals[1]) if decimals else 0
    scaled = Decimal(repr(value)) * (100 if percent else 1)
    rounded = scaled.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    text = f"{rounded:,}" if "#,##" in pattern or "0,0" in pattern else f"{rounded:f}"
    currency = _CURRENCY.search(pattern + literals)
    sign = "-" if text.startswith("-") else ""
    return f"{sign}{currency[0] if currency else ''}{text.lstrip('-')}{'%' if percent else ''}"


def _general(value: float) -> str:
    """As the General format: whole numbers without a point, others to eleven digits."""
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.11g}"
