"""Bytes, to the byte, against numbers that are known."""

from __future__ import annotations

import pytest

from banyan.core.layout import ModelShape
from banyan.plan.shares import pipeline, tensor_parallel, whole
from banyan.plan.sizes import (
    active_parameters,
    end_parameters,
    in_words,
    kv_bytes,
    layer_parameters,
    weight_bytes,
)

ARTICLE = ModelShape(
    layers=26, hidden=3200, ffn=8640, heads=32, kv_heads=32, head_dim=100, vocab=32_000
)
GPT3 = ModelShape(
    layers=96, hidden=12_288, ffn=49_152, heads=96, kv_heads=96, head_dim=128, vocab=50_257
)


def test_the_articles_model_has_its_parameters_weights_and_keys() -> None:
    share = whole(ARTICLE)
    numbers = 26 * layer_parameters(ARTICLE, share) + end_parameters(ARTICLE, share)
    assert round(numbers / 1e9, 2) == 3.43
    norms = (2 * 26 + 1) * 3200 * 4
    assert weight_bytes(ARTICLE, share, "fp16") == 2 * numbers + norms
    assert round(weight_bytes(ARTICLE, share, "fp16") / 1e9, 2) == 6.85
    assert kv_bytes(ARTICLE, share, tokens=512, sequences=32) == 4 * 32 * 3200 * 512 * 26


@pytest.mark.parametrize(("batch", "gigabytes"), [(64, 164.28), (16, 41.07)])
def test_the_keys_of_gpt_3_are_what_they_are_and_not_816_gb(batch: int, gigabytes: float) -> None:
    found = kv_bytes(GPT3, whole(GPT3), tokens=512 + 32, sequences=batch)
    assert found == 4 * batch * 12_288 * 544 * 96
    assert round(found / 1e9, 2) == gigabytes


def test_grouped_queries_and_windows_keep_less() -> None:
    shape = ModelShape(
        layers=2,
        hidden=64,
        ffn=96,
        heads=8,
        kv_heads=2,
        head_dim=8,
        vocab=100,
        windows=(None, 32),
    )
    one_token = 2 * 2 * 8 * 2
    assert kv_bytes(shape, whole(shape), tokens=128) == (128 + 32) * one_token
    assert kv_bytes(shape, whole(shape), tokens=1) == 2 * 16 * one_token


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_the_shares_of_all_ranks_are_the_model(ranks: int) -> None:
    layouts = [tensor_parallel(ARTICLE, [1.0] * ranks), pipeline(ARTICLE, [[1.0]] * ranks)]
    total = 26 * layer_parameters(ARTICLE, whole(ARTICLE)) + end_parameters(ARTICLE, whole(ARTICLE))
    for layout in layouts:
        shares = [share for stage in layout.stages for share in stage.shares]
        found = sum(
            share.layers.size * layer_parameters(ARTICLE, share) + end_parameters(ARTICLE, share)
            for share in shares
        )
        assert found == total


def test_a_token_meets_only_its_experts() -> None:
    shape = ModelShape(
        layers=1,
        hidden=64,
        ffn=32,
        heads=4,
        kv_heads=4,
        head_dim=16,
        vocab=10,
        experts=8,
        experts_per_token=2,
    )
    every = layer_parameters(shape, whole(shape))
    assert every - active_parameters(shape, whole(shape)) == 6 * 3 * 64 * 32


def test_both_units_are_printed() -> None:
    assert in_words(11e9) == "11.00 GB (10.24 GiB)"
