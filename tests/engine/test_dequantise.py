"""Every number format, bit for bit against the ``gguf`` package."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from banyan.engine import stored as formats
from banyan.engine.dequantise import affine_rows, dequantise, dequantise_rows
from banyan.engine.stored import Stored, stored

BLOCK_FORMATS = [
    formats.Q4_0,
    formats.Q4_1,
    formats.Q5_0,
    formats.Q5_1,
    formats.Q8_0,
    formats.Q4_K,
    formats.Q5_K,
    formats.Q6_K,
]
HALVES = {
    formats.Q4_0: (0,),
    formats.Q4_1: (0, 2),
    formats.Q5_0: (0,),
    formats.Q5_1: (0, 2),
    formats.Q8_0: (0,),
    formats.Q4_K: (0, 2),
    formats.Q5_K: (0, 2),
    formats.Q6_K: (208,),
}


def random_matrix(fmt: formats.Format, rows: int, blocks: int, seed: int) -> Stored:
    """Random codes; the float16 fields are finite, as a quantiser writes them."""
    generator = np.random.default_rng(seed)
    raw = generator.integers(0, 256, (rows * blocks, fmt.block_bytes), dtype=np.uint8)
    for place in HALVES[fmt]:
        scales = generator.normal(0, 0.1, rows * blocks).astype(np.float16)
        raw[:, place : place + 2] = scales.view(np.uint8).reshape(-1, 2)
    return stored("w", fmt, (rows, blocks * fmt.block), raw.reshape(-1))


def oracle(matrix: Stored) -> np.ndarray:
    kind = gguf.GGMLQuantizationType[matrix.format.name]
    return gguf.quants.dequantize(matrix.data, kind)


@pytest.mark.parametrize("fmt", BLOCK_FORMATS, ids=lambda fmt: fmt.name)
@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 5), blocks=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_random_blocks_decode_bit_for_bit_as_the_gguf_package_does(fmt, rows, blocks, seed):
    matrix = random_matrix(fmt, rows, blocks, seed)
    np.testing.assert_array_equal(dequantise(matrix).numpy(), oracle(matrix))


@pytest.mark.parametrize("fmt", BLOCK_FORMATS, ids=lambda fmt: fmt.name)
def test_chosen_rows_are_those_of_the_whole_matrix(fmt):
    matrix = random_matrix(fmt, 9, 2, seed=5)
    rows = torch.tensor([8, 0, 3, 3])
    assert torch.equal(dequantise_rows(matrix, rows), dequantise(matrix)[rows])


@pytest.mark.parametrize("fmt", BLOCK_FORMATS, ids=lambda fmt: fmt.name)
def test_the_affine_form_holds_the_same_numbers(fmt):
    matrix = random_matrix(fmt, 4, 2, seed=6)
    assert torch.equal(affine_rows(matrix).numbers().view(4, -1), dequantise(matrix))


@pytest.mark.parametrize("fmt", [formats.F32, formats.F16, formats.BF16], ids=lambda fmt: fmt.name)
def test_plain_numbers_pass_unchanged(fmt):
    dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[fmt.name]
    numbers = torch.randn(5, 7, generator=torch.manual_seed(3)).to(dtype)
    raw = numbers.view(torch.uint8).numpy().reshape(-1)
    assert torch.equal(dequantise(stored("w", fmt, (5, 7), raw)), numbers.float())


def test_a_matrix_larger_than_a_chunk_comes_out_whole():
    matrix = random_matrix(formats.Q8_0, 700, 20, seed=8)
    np.testing.assert_array_equal(dequantise(matrix).numpy(), oracle(matrix))
    half = dequantise(matrix, torch.bfloat16)
    assert torch.equal(half, dequantise(matrix).bfloat16())
