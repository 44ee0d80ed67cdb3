"""Our four-bit kernel against the plain product of the numbers, and what happens without it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from banyan.engine import four_bit
from banyan.engine.four_bit import GRAIN, OUTPUTS, OwnFourBit, TorchFourBit, make_four_bit
from banyan.engine.native.library import kernel

needs_kernel = pytest.mark.skipif(
    kernel("four_bit_multiply") is None, reason="needs a C compiler and AVX-512 BF16"
)
Parts = tuple[Tensor, Tensor, Tensor]


def parts(outputs: int, inputs: int, seed: int = 0) -> Parts:
    """Codes, scales and zeros of a random matrix."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 16, (outputs, inputs), generator=generator, dtype=torch.uint8)
    scale, zero = torch.randn(2, outputs, inputs // GRAIN, generator=generator).mul(0.02).bfloat16()
    return codes, scale, zero


def numbers(of: Parts) -> Tensor:
    codes, scale, zero = of
    spread = [part.float().repeat_interleave(GRAIN, dim=1) for part in (scale, zero)]
    return (codes.float() - 8) * spread[0] + spread[1]


def rows_of(count: int, inputs: int) -> Tensor:
    return torch.randn(count, inputs, generator=torch.Generator().manual_seed(count)).bfloat16()


@needs_kernel
@given(
    blocks=st.integers(1, 5),
    grains=st.integers(1, 9),
    rows=st.integers(0, 20),
    zeros=st.booleans(),
    seed=st.integers(0),
)
def test_a_product_is_that_of_the_numbers_up_to_the_rounding_of_its_result(
    blocks, grains, rows, zeros, seed
):
    codes, scale, zero = parts(blocks * OUTPUTS, grains * GRAIN, seed % 2**32)
    of = codes, scale, zero if zeros else torch.zeros_like(zero)
    x = rows_of(rows, grains * GRAIN)
    matrix = make_four_bit(*of)
    assert isinstance(matrix, OwnFourBit)
    exact = x.float() @ numbers(of).T
    # Half of the last of eight bits, and what float32 loses where large terms cancel.
    room = exact.abs() * 2**-8 + (x.float().abs() @ numbers(of).abs().T) * 2**-16
    assert bool(((matrix(x).float() - exact).abs() <= room).all())


@needs_kernel
def test_both_kernels_hold_the_same_numbers_bit_for_bit():
    """One input at a time is 1, so a product is a number."""
    of = parts(48, 96)
    own, expected = make_four_bit(*of), numbers(of).T.bfloat16()
    assert torch.equal(own(torch.eye(96).bfloat16()), expected)
    assert torch.equal(torchs(of)(torch.eye(96).bfloat16()), expected)


def torchs(of: Parts) -> TorchFourBit:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(four_bit, "kernel", lambda name: None)
        matrix = make_four_bit(*of)
    assert isinstance(matrix, TorchFourBit)
    return matrix


@needs_kernel
def test_a_row_has_the_same_bits_in_whatever_batch_it_stands():
    matrix, x = make_four_bit(*parts(64, 256)), rows_of(19, 256)
    alone = torch.cat([matrix(row[None]) for row in x])
    for count in range(1, 20):
        assert torch.equal(matrix(x[:count]), alone[:count])


@needs_kernel
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_share_the_blocks_and_change_no_bit(threads):
    matrix, x = make_four_bit(*parts(5 * OUTPUTS, 128)), rows_of(3, 128)
    alone, before = matrix(x), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(matrix(x), alone)
    finally:
        torch.set_num_threads(before)


@needs_kernel
def test_ours_takes_no_more_memory_than_torchs_and_less_where_all_zeros_are_0():
    codes, scale, zero = parts(64, 256)
    of, centred = (codes, scale, zero), (codes, scale, torch.zeros_like(zero))
    assert make_four_bit(*of).size_bytes == torchs(of).size_bytes == 64 * 256 * 5 // 8
    assert make_four_bit(*centred).size_bytes == 64 * 256 * 9 // 16
    assert make_four_bit(*of).numbers == torchs(of).numbers == 64 * 256
