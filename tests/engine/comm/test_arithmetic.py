"""Sums of buffers: numpy and torch give the same numbers bit for bit, and the right ones."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from banyan.engine.comm.arithmetic import add, add_reference, narrowed, widened
from banyan.engine.comm.collective import ITEM_BYTES, NumberKind

KINDS: list[NumberKind] = ["float32", "bfloat16", "float16"]
DTYPES: dict[NumberKind, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def patterns(kind: NumberKind, count: int, seed: int) -> memoryview:
    """Any bits: also infinities, numbers too small to be normal, and what is not a number."""
    generator = np.random.default_rng(seed)
    return memoryview(bytearray(generator.bytes(count * ITEM_BYTES[kind])))


def same_numbers(one: memoryview, other: memoryview, kind: NumberKind) -> bool:
    """The same bits, but for what is not a number."""
    a, b = (np.frombuffer(x, dtype=f"uint{8 * ITEM_BYTES[kind]}") for x in (one, other))
    no_number = np.isnan(widened(one, kind)) & np.isnan(widened(other, kind))
    return bool(((a == b) | no_number).all())


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    count=st.integers(0, 3000),
    parts=st.integers(1, 5),
    seed=st.integers(0, 10_000),
)
def test_the_fast_paths_agree_with_the_reference_on_any_bits(
    kind: NumberKind, count: int, parts: int, seed: int
) -> None:
    data = [patterns(kind, count, seed + i) for i in range(parts)]
    fast, slow = (memoryview(bytearray(count * ITEM_BYTES[kind])) for _ in range(2))
    add(data, fast, kind)
    add_reference(data, slow, kind)
    assert same_numbers(fast, slow, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_rounding_to_half_precision_is_that_of_torch_for_every_number(kind: NumberKind) -> None:
    bits = np.arange(0, 1 << 32, 40_961, dtype=np.uint64).astype(np.uint32)
    ties = (np.arange(1 << 16, dtype=np.uint32) << 16) | 0x8000
    numbers = np.concatenate([bits, ties, ties - 1, ties + 1]).view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        ours = memoryview(np.ascontiguousarray(narrowed(numbers, kind)).tobytes())
    theirs = torch.from_numpy(numbers.copy()).to(DTYPES[kind]).view(torch.uint8).numpy()
    assert same_numbers(ours, memoryview(theirs.tobytes()), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_widening_keeps_every_number(kind: NumberKind) -> None:
    data = memoryview(np.arange(1 << 16, dtype=np.uint16).tobytes())
    ours = widened(data, kind)
    theirs = torch.frombuffer(bytearray(data), dtype=DTYPES[kind]).float().numpy()
    assert ((ours == theirs) | (np.isnan(ours) & np.isnan(theirs))).all()


@pytest.mark.parametrize("torch_loaded", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_the_result_may_lie_where_any_part_does(
    monkeypatch: pytest.MonkeyPatch, place: int, kind: NumberKind, torch_loaded: bool
) -> None:
    if not torch_loaded:
        monkeypatch.delitem(sys.modules, "torch")
    apart = memoryview(bytearray(400))
    for count in range(place + 1, 5):
        parts = [patterns(kind, 400 // ITEM_BYTES[kind], seed) for seed in range(count)]
        add(parts, apart, kind)
        add(parts, parts[place], kind)
        assert same_numbers(parts[place], apart, kind)


@pytest.mark.parametrize(
    ("kind", "large", "small"), [("bfloat16", 256.0, 0.25), ("float16", 2048.0, 1.0)]
)
def test_half_precision_is_rounded_once_for_all_parts(
    kind: NumberKind, large: float, small: float
) -> None:
    # Added to the large number one by one, each small one would be lost.
    values = [large, *[small] * 8]
    parts = [
        memoryview(torch.tensor([v], dtype=DTYPES[kind]).view(torch.uint8).numpy()) for v in values
    ]
    out = memoryview(bytearray(2))
    add(parts, out, kind)
    assert widened(out, kind)[0] == sum(values)


@pytest.mark.parametrize("kind", KINDS)
def test_what_grows_too_large_becomes_infinite_without_a_warning(kind: NumberKind) -> None:
    largest = torch.tensor([torch.finfo(DTYPES[kind]).max], dtype=DTYPES[kind])
    part = memoryview(largest.view(torch.uint8).numpy())
    for summed in (add, add_reference):
        out = memoryview(bytearray(ITEM_BYTES[kind]))
        summed([part, part, part], out, kind)
        assert widened(out, kind)[0] == np.inf
