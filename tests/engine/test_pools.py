"""What a pool gives back is what was put there, within the bound of the type it is kept in."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from banyan.engine.pools import head_bytes, make_pool

CPU = torch.device("cpu")
PAGES, PAGE, HEADS, WIDTH = 5, 4, 2, 8
SHAPE = (PAGES, PAGE, HEADS, WIDTH)
ALL = torch.arange(PAGES * PAGE)
KEPT = [torch.float32, torch.bfloat16, torch.int8]


def everything(pool) -> torch.Tensor:
    """[slots, heads, d]"""
    return pool.gather(torch.arange(PAGES), 1)[0].transpose(0, 1)


@pytest.mark.parametrize("kept", KEPT)
def test_what_is_put_at_scattered_slots_is_found_by_page(kept):
    pool = make_pool(SHAPE, kept, torch.float32, CPU)
    slots = torch.randperm(PAGES * PAGE, generator=torch.manual_seed(0))[:9]
    rows = torch.randint(-127, 128, (9, HEADS, WIDTH)).float()
    rows[..., 0] = 127  # so that the scale is one
    pool.put(slots, rows)
    expected = torch.zeros(PAGES * PAGE, HEADS, WIDTH)
    expected[slots] = rows
    assert torch.equal(everything(pool), expected)
    twice = pool.gather(torch.tensor([3, 1, 1, 0]), 2)
    by_page = expected.view(PAGES, PAGE, HEADS, WIDTH)
    assert twice.shape == (2, HEADS, 2 * PAGE, WIDTH)
    assert torch.equal(twice[0, :, :PAGE], by_page[3].transpose(0, 1))
    assert torch.equal(twice[1, :, PAGE:], by_page[0].transpose(0, 1))


@given(
    seed=st.integers(0, 1000),
    exponents=st.lists(st.integers(-20, 20), min_size=HEADS, max_size=HEADS),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_int8_is_within_half_a_step_of_each_heads_own_scale(seed, exponents, dtype):
    torch.manual_seed(seed)
    size = torch.tensor([2.0**exponent for exponent in exponents])[:, None]
    rows = (torch.randn(PAGES * PAGE, HEADS, WIDTH) * size).to(dtype)
    pool = make_pool(SHAPE, torch.int8, dtype, CPU)
    pool.put(ALL, rows)
    largest = rows.float().abs().amax(dim=-1, keepdim=True)
    rounding = 0 if dtype == torch.float32 else 2**-8  # of the number itself, in bf16
    bound = largest / 253 + rows.float().abs() * rounding
    assert ((everything(pool).float() - rows.float()).abs() <= bound).all()


def test_zeros_come_back_as_zeros_in_int8():
    pool = make_pool(SHAPE, torch.int8, torch.float32, CPU)
    pool.put(ALL, torch.zeros(PAGES * PAGE, HEADS, WIDTH))
    assert torch.equal(everything(pool), torch.zeros(PAGES * PAGE, HEADS, WIDTH))


@pytest.mark.parametrize("kept", KEPT)
def test_a_token_that_comes_later_changes_nothing_that_is_written(kept):
    pool = make_pool(SHAPE, kept, torch.float32, CPU)
    torch.manual_seed(1)
    pool.put(ALL[:3], torch.randn(3, HEADS, WIDTH))
    before = everything(pool)[:3].clone()
    pool.put(ALL[3:4], 1e6 * torch.ones(1, HEADS, WIDTH))
    assert torch.equal(everything(pool)[:3], before)


@pytest.mark.parametrize("kept", KEPT)
def test_a_pool_takes_the_bytes_that_were_counted(kept):
    pool = make_pool(SHAPE, kept, torch.float32, CPU)
    held = sum(plane.nbytes for plane in pool.planes)
    assert held == PAGES * PAGE * HEADS * head_bytes(WIDTH, kept)
