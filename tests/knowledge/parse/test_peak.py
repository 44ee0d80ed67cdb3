"""A parser's peak is its own, however large the process that started it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from banyan.core.context import Context
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.parse.parse import Parser
from banyan.knowledge.parse.peak import peak_bytes


def test_a_parser_started_by_a_large_process_is_not_taken_for_large(tmp_path: Path) -> None:
    page = tmp_path / "page.txt"
    page.write_text("Small.")
    ballast = np.ones(900 << 20, dtype=np.uint8)
    with Parser(ParseLimits()) as parser:
        parser.parse(page, Context())
        assert peak_bytes() > len(ballast)
        assert parser.peak_bytes < 200 << 20
        assert parser._child is not None  # and so it serves the next file too
