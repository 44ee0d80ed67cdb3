from __future__ import annotations

import pytest

from banyan.knowledge.language import detect


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How much memory does it need?", "en"),
        ("需要多少内存？", "zh"),
        ("需要多少記憶體？", "zh"),
        ("什么是 Transformer 的 self-attention?", "zh"),
        ("GPU 显存不足怎么办", "zh"),
        ("The word 榕树 means banyan in Chinese.", "en"),
        ("", "en"),
        ("12345 ---", "en"),
        ("これは木です", "zh"),
    ],
)
def test_the_share_of_scripts_decides(text, language):
    assert detect(text) == language
