"""Linears of every kind against the plain product of their own numbers."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from torch import Tensor

from banyan.engine import stored as formats
from banyan.engine.dequantise import dequantise
from banyan.engine.linear import (
    WIDE_INT8_ROWS,
    Int8,
    Packed4,
    Reordered,
    Stacked,
    make_dense,
    make_packed,
)
from banyan.engine.stored import Stored, stored
from banyan.plan.shares import divide

ROWS, COLUMNS = 48, 256


def matrix(kind: str, rows: int = ROWS, seed: int = 0) -> Stored:
    numbers = np.random.default_rng(seed).normal(0, 0.05, (rows, COLUMNS)).astype(np.float32)
    fmt = getattr(formats, kind)
    if kind == "F32":
        return stored("w", fmt, numbers.shape, numbers.view(np.uint8).reshape(-1))
    raw = gguf.quants.quantize(numbers, gguf.GGMLQuantizationType[kind])
    return stored("w", fmt, numbers.shape, raw.reshape(-1))


def k_matrix(seed: int = 0) -> Stored:
    """Random Q4_K blocks (the gguf package reads that format but does not write it)."""
    generator = np.random.default_rng(seed)
    raw = generator.integers(0, 256, (ROWS, 144), dtype=np.uint8)
    raw[:, :4] = generator.uniform(1e-4, 2e-4, (ROWS, 2)).astype(np.float16).view(np.uint8)
    return stored("w", formats.Q4_K, (ROWS, COLUMNS), raw.reshape(-1))


def packed_matrix(kind: str) -> Stored:
    return k_matrix() if kind == "Q4_K" else matrix(kind)


def inputs(count: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(count, COLUMNS, generator=torch.manual_seed(count)).to(dtype)


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found.float() - expected).norm() / expected.norm())


@pytest.mark.parametrize("rows", [1, 3, 16, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("biased", [False, True])
def test_the_reordered_matrix_multiplies_as_the_plain_one(rows, dtype, biased):
    bias = torch.randn(2 * ROWS, generator=torch.manual_seed(9)) if biased else None
    parts = [matrix("F32", seed=1), matrix("Q4_1", seed=2)]
    fast, slow = make_dense(parts, bias, dtype), make_dense(parts, bias, dtype, reorder=False)
    assert isinstance(fast, Reordered)
    assert fast.out_features == slow.out_features == 2 * ROWS
    assert fast.size_bytes == slow.size_bytes
    x = inputs(rows, dtype)
    assert relative_error(fast(x), slow(x).float()) < (1e-6 if dtype == torch.float32 else 4e-3)


@pytest.mark.parametrize("rows", [1, 5, 33])
@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q4_K"])
def test_packed_four_bit_matrices_stay_within_bf16_of_their_numbers(kind, rows):
    weight = packed_matrix(kind)
    bias = torch.randn(ROWS, generator=torch.manual_seed(2))
    packed = make_packed([weight], bias, copy=False)
    assert isinstance(packed, Packed4)
    x = inputs(rows, torch.bfloat16)
    expected = x.float() @ dequantise(weight).T + bias
    assert relative_error(packed(x), expected) < 8e-3
    assert packed.size_bytes < ROWS * COLUMNS


@pytest.mark.parametrize("unit", [32, 20])
@pytest.mark.parametrize("ranks", [2, 3, 8])
@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q4_K"])
def test_a_packed_cut_multiplies_by_the_numbers_of_the_whole_one(kind, ranks, unit):
    """One input at a time is 1, so a product is a number: the same bits, on the grain or not."""
    weight = packed_matrix(kind)
    whole = make_packed([weight], None, copy=False)(torch.eye(COLUMNS, dtype=torch.bfloat16))
    for part in divide(COLUMNS, [1.0] * ranks, unit=unit):
        cut = make_packed([weight.columns(part)], None, copy=False)
        assert isinstance(cut, Packed4)
        numbers = cut(torch.eye(part.size, dtype=torch.bfloat16))
        assert torch.equal(numbers, whole[part.begin : part.end])


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q4_K"])
def test_the_products_of_packed_cuts_add_up_to_that_of_the_whole(kind, ranks):
    weight, x = packed_matrix(kind), inputs(5, torch.bfloat16)
    exact = x.float() @ dequantise(weight).T
    parts = divide(COLUMNS, [1.0] * ranks, unit=20)
    for copy in (False, True):
        cuts = [make_packed([weight.columns(part)], None, copy=copy) for part in parts]
        products = [
            cut(x[:, part.begin : part.end]).float() for part, cut in zip(parts, cuts, strict=True)
        ]
        assert relative_error(sum(products), exact) < 8e-3
        many = [
            cut(x[:, part.begin : part.end].repeat(4, 1)).float()
            for part, cut in zip(parts, cuts, strict=True)
        ]
        assert relative_error(sum(many), exact.repeat(4, 1)) < 8e-3


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("kind", ["Q4_1", "Q4_K"])
def test_a_packed_cut_by_rows_gives_those_outputs_bit_for_bit(kind, ranks):
    weight, x = packed_matrix(kind), inputs(5, torch.bfloat16)
    whole = make_packed([weight], None, copy=False)(x)
    for part in divide(ROWS, [1.0] * ranks, unit=16):
        cut = make_packed([weight.rows(part)], None, copy=False)
        assert torch.equal(cut(x), whole[:, part.begin : part.end])


@pytest.mark.parametrize("kind", ["Q8_0", "Q5_0", "Q5_1"])
def test_other_formats_become_int8_within_a_percent(kind):
    weight = matrix(kind)
    packed = make_packed([weight], None, copy=False)
    assert isinstance(packed, Int8)
    x = inputs(4, torch.bfloat16)
    assert relative_error(packed(x), x.float() @ dequantise(weight).T) < 1.5e-2


def test_matrices_that_pack_alike_are_one_product_and_others_stand_beside():
    parts = [matrix("Q4_1", seed=1), matrix("Q4_1", seed=2), matrix("Q8_0", seed=3)]
    bias = torch.randn(3 * ROWS, generator=torch.manual_seed(4))
    linear = make_packed(parts, bias, copy=False)
    assert isinstance(linear, Stacked)
    assert [type(part) for part in linear.parts] == [Packed4, Int8]
    x = inputs(3, torch.bfloat16)
    whole = torch.cat([dequantise(part) for part in parts])
    assert linear.out_features == 3 * ROWS
    assert relative_error(linear(x), x.float() @ whole.T + bias) < 1.5e-2


def test_the_bf16_copy_serves_large_batches_and_is_counted():
    weight = matrix("Q4_1")
    small, large = (make_packed([weight], None, copy=copy) for copy in (False, True))
    assert large.size_bytes == small.size_bytes + 2 * ROWS * COLUMNS
    exact = make_dense([weight], None, torch.bfloat16)
    few, many = inputs(2, torch.bfloat16), inputs(small.codes.wide_rows, torch.bfloat16)
    assert torch.equal(large(few), small(few))
    assert torch.equal(large(many), exact(many))


def test_an_int8_matrix_may_have_a_bf16_copy_too():
    weight = matrix("Q8_0")
    small, large = (make_packed([weight], None, copy=copy) for copy in (False, True))
    assert large.size_bytes == small.size_bytes + 2 * ROWS * COLUMNS
    exact = make_dense([weight], None, torch.bfloat16)
    one, several = inputs(1, torch.bfloat16), inputs(WIDE_INT8_ROWS, torch.bfloat16)
    assert torch.equal(large(one), small(one))
    assert torch.equal(large(several), exact(several))


def test_rows_the_packed_kernel_cannot_take_fall_back_to_int8():
    weight = matrix("Q4_1", rows=10)
    linear = make_packed([weight], None, copy=False)
    assert isinstance(linear, Int8)
    x = inputs(2, torch.bfloat16)
    assert relative_error(linear(x), x.float() @ dequantise(weight).T) < 1.5e-2


def test_inputs_need_not_lie_in_one_piece():
    weights = [matrix("Q4_1"), matrix("Q8_0")]
    x = inputs(6, torch.bfloat16).view(3, 2, COLUMNS).transpose(0, 1)
    assert not x.is_contiguous()
    for weight in weights:
        linear = make_packed([weight], None, copy=False)
        assert torch.equal(linear(x), linear(x.contiguous()))


@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0"])
def test_a_batch_of_which_no_row_is_wanted_gives_no_rows(kind):
    """A piece of a long prompt wants no logits, so the head is asked for nothing."""
    linear = make_packed([matrix(kind)], None, copy=False)
    assert linear(inputs(3, torch.bfloat16)[:0]).shape == (0, ROWS)
