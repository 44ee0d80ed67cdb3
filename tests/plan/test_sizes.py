"""Bytes, to the byte, against numbers that are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.plan.beds import ARTICLE, EXPERTS, GPT3

from banyan.core.layout import ModelShape
from banyan.plan.shares import pipeline, tensor_parallel, whole
from banyan.plan.sizes import (
    active_parameters,
    end_parameters,
    in_words,
    kv_bytes,
    layer_parameters,
    need,
    read_bytes,
    weight_bytes,
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


def test_a_token_meets_only_its_experts_and_many_tokens_all_of_them() -> None:
    share = whole(EXPERTS)
    every, network = layer_parameters(EXPERTS, share), 3 * 64 * 32
    assert every - active_parameters(EXPERTS, share) == 6 * network
    one = read_bytes(EXPERTS, share, "bf16", rows=1)
    many = read_bytes(EXPERTS, share, "bf16", rows=1000)
    assert many - one == 4 * 6 * network * 2
    assert many == weight_bytes(EXPERTS, share, "bf16") - 320 * 64 * 2 - 64 * 4  # table, last norm


def test_a_step_reads_one_row_of_the_embedding_and_one_of_two_copies() -> None:
    share = whole(ARTICLE)
    few = read_bytes(ARTICLE, share, "packed+copy", rows=1)
    assert few == read_bytes(ARTICLE, share, "packed", rows=64)
    many = read_bytes(ARTICLE, share, "packed+copy", rows=64)
    assert many == read_bytes(ARTICLE, share, "bf16", rows=1)
    whole_model = weight_bytes(ARTICLE, share, "fp16")
    assert whole_model - many == 2 * 32_000 * 3200 + 3200 * 4


def test_the_engines_pages_belong_to_all_layers_whatever_their_windows() -> None:
    shape = replace(EXPERTS, windows=(32, None, 32, None))
    share = whole(shape)
    needed = need(shape, share, "bf16", tokens=128, sequences=1, step_rows=1).kv
    assert needed == kv_bytes(replace(shape, windows=()), share, tokens=128)
    assert kv_bytes(shape, share, tokens=128) < needed


def test_both_units_are_printed() -> None:
    assert in_words(11e9) == "11.00 GB (10.24 GiB)"
