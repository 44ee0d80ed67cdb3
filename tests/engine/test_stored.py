"""Cutting, reordering and joining stored bytes: every number comes out as it was, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.test_dequantise import BLOCK_FORMATS, random_matrix

from banyan.core.errors import CheckpointInvalid
from banyan.core.layout import Interval
from banyan.engine import stored as formats
from banyan.engine.dequantise import affine_rows, dequantise, dequantise_rows
from banyan.engine.stored import Format, Stored, joined, stored
from banyan.plan.shares import GRAIN, divide

PLAIN_FORMATS = [formats.F32, formats.F16, formats.BF16]
FORMATS = [*PLAIN_FORMATS, *BLOCK_FORMATS]
ROWS, COLUMNS = 12, 768


def matrix(fmt: Format, seed: int = 4) -> Stored:
    if fmt in BLOCK_FORMATS:
        return random_matrix(fmt, ROWS, COLUMNS // fmt.block, seed)
    generator = torch.manual_seed(seed)
    dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[fmt.name]
    numbers = torch.randn(ROWS, COLUMNS, generator=generator).to(dtype)
    return stored("w", fmt, numbers.shape, numbers.view(torch.uint8).numpy().reshape(-1))


def columns_of(interval: Interval) -> slice:
    return slice(interval.begin, interval.end)


@pytest.mark.parametrize("ranks", [2, 3, 8])
@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
def test_ranks_hold_their_own_numbers_of_every_format_bit_for_bit(fmt, ranks):
    """On the grain, as the ranks of a layout do; with 2 and 3 ranks whole K-blocks, with 8 not."""
    whole = matrix(fmt)
    numbers = dequantise(whole)
    for weights in ([1.0] * ranks, [float(1 + rank % 3) for rank in range(ranks)]):
        for part in divide(COLUMNS, weights, unit=GRAIN):
            cut = whole.columns(part)
            assert cut.shape == (ROWS, part.size)
            assert torch.equal(dequantise(cut), numbers[:, columns_of(part)])
        for part in divide(ROWS, weights):
            assert torch.equal(dequantise(whole.rows(part)), numbers[columns_of(part)])


@pytest.mark.parametrize("fmt", BLOCK_FORMATS, ids=lambda fmt: fmt.name)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_cuts_of_cuts_at_any_place_hold_the_numbers_that_stood_there(fmt, data):
    whole = matrix(fmt)
    numbers, cut = dequantise(whole), whole
    for _ in range(data.draw(st.integers(1, 3))):
        begin = data.draw(st.integers(0, cut.shape[1] - 1))
        part = Interval(begin, data.draw(st.integers(begin + 1, cut.shape[1])))
        cut, numbers = cut.columns(part), numbers[:, columns_of(part)]
    rows = torch.tensor([3, 0, 3])
    assert torch.equal(dequantise(cut), numbers)
    assert torch.equal(dequantise(cut, torch.bfloat16), numbers.bfloat16())
    assert torch.equal(dequantise_rows(cut, rows), numbers[rows])
    assert torch.equal(dequantise(cut.reordered(rows.numpy())), numbers[rows])
    assert torch.equal(dequantise(joined([cut, cut])), torch.cat((numbers, numbers)))


@pytest.mark.parametrize("fmt", BLOCK_FORMATS, ids=lambda fmt: fmt.name)
@settings(max_examples=20, deadline=None)
@given(begin=st.integers(0, COLUMNS - 1), size=st.integers(1, COLUMNS))
def test_the_affine_form_of_a_cut_holds_its_numbers_among_whole_groups(fmt, begin, size):
    part = Interval(begin, min(COLUMNS, begin + size))
    cut = matrix(fmt).columns(part)
    affine = affine_rows(cut)
    grain = affine.codes.shape[-1]
    before = cut.lead % grain
    found = affine.numbers().view(ROWS, -1)
    assert torch.equal(found[:, before : before + part.size], dequantise(cut))
    assert found.shape[1] - part.size < 2 * grain


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
def test_a_cut_takes_no_memory_of_its_own_and_counts_the_blocks_it_is_in(fmt):
    whole = matrix(fmt)
    parts = [whole.columns(part) for part in divide(COLUMNS, [1.0] * 3, unit=256)]
    assert all(np.shares_memory(part.data, whole.data) for part in parts)
    assert sum(part.size_bytes for part in parts) == whole.size_bytes
    inside = whole.columns(Interval(300, 330))
    blocks = 30 if fmt.block == 1 else 1 if fmt.block == 256 else 2
    assert inside.size_bytes == ROWS * blocks * fmt.block_bytes


def test_a_vector_is_cut_and_reordered_by_its_numbers():
    numbers = torch.arange(10.0)
    bias = stored("b", formats.F32, (10,), numbers.view(torch.uint8).numpy())
    part = bias.rows(Interval(4, 8))
    assert part.shape == (4,)
    assert dequantise(part).tolist() == [4.0, 5.0, 6.0, 7.0]
    assert dequantise(part.reordered(np.array([3, 0, 0]))).tolist() == [7.0, 4.0, 4.0]


def test_a_vector_in_blocks_is_cut_but_not_reordered():
    bias = random_matrix(formats.Q8_0, 1, 3, seed=2)
    vector = stored("b", formats.Q8_0, (96,), bias.data.reshape(-1))
    assert torch.equal(dequantise(vector.rows(Interval(40, 70))), dequantise(bias)[0, 40:70])
    with pytest.raises(CheckpointInvalid, match="Q8_0"):
        vector.reordered(np.array([1, 0]))
