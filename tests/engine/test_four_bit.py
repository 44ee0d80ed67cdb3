"""Our four-bit kernel against the plain product of the numbers, and what happens without it."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from banyan.engine import four_bit
from banyan.engine.four_bit import GRAIN, OUTPUTS, OwnFourBit, TorchFourBit, make_four_bit

needs_kernel = pytest.mark.skipif(
    four_bit.own_kernel() is None, reason="needs a C compiler and AVX-512 BF16"
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
    blocks=st.integers(1, 5), grains=st.integers(1, 9), rows=st.integers(0, 20), seed=st.integers(0)
)
def test_a_product_is_that_of_the_numbers_up_to_the_rounding_of_its_result(
    blocks, grains, rows, seed
):
    of = parts(blocks * OUTPUTS, grains * GRAIN, seed % 2**32)
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
        patch.setattr(four_bit, "own_kernel", lambda: None)
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
def test_ours_takes_no_more_memory_than_torchs():
    of = parts(64, 256)
    assert make_four_bit(*of).size_bytes == torchs(of).size_bytes == 64 * 256 * 5 // 8


@pytest.mark.parametrize("lacking", ["instructions", "compiler"])
def test_torchs_kernel_computes_where_ours_cannot_run(lacking, monkeypatch):
    if lacking == "instructions":
        monkeypatch.setattr(four_bit, "processor_flags", lambda: four_bit.FLAGS - {"avx512_bf16"})
    else:
        monkeypatch.setattr(four_bit, "COMPILERS", ("no-such-compiler",))
    assert four_bit.own_kernel.__wrapped__() is None


def test_a_compiler_that_fails_leaves_torchs_kernel(tmp_path, monkeypatch):
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(four_bit, "processor_flags", lambda: four_bit.FLAGS)
    monkeypatch.setattr(four_bit, "COMPILERS", (str(broken),))
    assert four_bit.own_kernel.__wrapped__() is None


@needs_kernel
def test_the_kernel_is_compiled_once_and_kept(tmp_path, monkeypatch):
    compiler = next(filter(None, map(shutil.which, four_bit.COMPILERS)))
    four_bit._library(compiler, tmp_path / "new")
    [kept] = (tmp_path / "new").iterdir()
    monkeypatch.setattr(four_bit.subprocess, "run", lambda *_, **__: pytest.fail("compiled again"))
    assert four_bit._library(compiler, tmp_path / "new")._name == str(kept)


@needs_kernel
def test_a_folder_nobody_can_write_to_is_no_obstacle(tmp_path):
    compiler = next(filter(None, map(shutil.which, four_bit.COMPILERS)))
    blocked = Path(tmp_path, "file")
    blocked.touch()
    assert four_bit._library(compiler, blocked / "folder").four_bit_multiply
    assert blocked.read_bytes() == b""
