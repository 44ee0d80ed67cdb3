from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.toy import CONTEXT, KV_HEADS, LAYERS, write_toy

from banyan.core.errors import InputError
from banyan.engine.config import EngineConfig
from banyan.engine.kv import count_pages
from banyan.engine.model import load_model

ONE_PAGE = 2 * LAYERS * 16 * KV_HEADS * 8 * 4


def test_pages_fill_the_bytes_given_but_no_more_than_can_be_used(tmp_path: Path) -> None:
    model = load_model(write_toy(tmp_path), "fp32", 1)

    def pages(kv_cache_bytes: int) -> int:
        return count_pages(
            model.config,
            model.dtype,
            EngineConfig(kv_cache_bytes=kv_cache_bytes, max_sequences=4),
        )

    assert pages(10 * ONE_PAGE + 7) == 10
    assert pages(1 << 40) == 4 * CONTEXT // 16
    with pytest.raises(InputError, match=f"one takes {ONE_PAGE} bytes"):
        pages(ONE_PAGE - 1)
