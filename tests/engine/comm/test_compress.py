"""Payloads across hosts: the stated bounds, the wire's length, and the same bytes everywhere."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from tests.engine.comm.groups import at_once, make_groups

from banyan.core.errors import InputError
from banyan.engine.comm.collective import ITEM_BYTES, Buffer, NumberKind
from banyan.engine.comm.compress import CODECS, GROUP, CompressedExchange
from banyan.engine.comm.exchange import Exchange
from banyan.engine.comm.group import Group
from banyan.engine.comm.tensors import bytes_of

Numbers = NDArray[np.float32]

COUNTS = st.integers(0, 5 * GROUP + 1)


def float32(limit: float = 2.0**100) -> st.SearchStrategy[Numbers]:
    numbers = st.floats(-limit, limit, width=32, allow_subnormal=False)
    return arrays.arrays(np.float32, COUNTS, elements=numbers)


def through(payload: str, numbers: Numbers) -> Numbers:
    """What arrives of ``numbers``."""
    codec = CODECS[payload]
    data = memoryview(bytearray(numbers.tobytes()))
    wire = memoryview(bytearray(codec.wire_bytes(len(data), "float32")))
    codec.encode(data, wire, "float32")
    return codec.decode(wire)


def bound(payload: str, numbers: Numbers) -> NDArray[np.float64]:
    """How far off each number of one host's sum may arrive."""
    exact = np.abs(numbers.astype(np.float64))
    if payload == "bf16":
        return exact * 2.0**-8 * (1 + 1e-6) + 1e-40
    pad = np.zeros(-len(exact) % GROUP)
    largest = np.concatenate([exact, pad]).reshape(-1, GROUP).max(axis=1)
    return np.repeat(largest, GROUP)[: len(exact)] / 254 * (1 + 1e-5) + 1e-28


@pytest.mark.parametrize("payload", CODECS)
@settings(deadline=None)
@given(numbers=float32())
def test_what_arrives_is_within_the_stated_bound(payload: str, numbers: Numbers) -> None:
    arrived = through(payload, numbers)
    assert len(arrived) == len(numbers)
    error = np.abs(arrived.astype(np.float64) - numbers.astype(np.float64))
    assert (error <= bound(payload, numbers)).all()


def test_the_bounds_are_no_larger_than_they_have_to_be() -> None:
    # Half a step above a power of two, and half a step of a group whose largest is 127.
    assert through("bf16", np.array([1 + 2.0**-8], np.float32))[0] == 1.0
    whole = through("int8", np.array([127, 0.5, 1.5], np.float32))
    assert whole.tolist() == [127, 0, 2]


@pytest.mark.parametrize("payload", CODECS)
@settings(deadline=None)
@given(numbers=float32())
def test_what_has_arrived_arrives_again_unchanged_in_bf16_and_nearly_in_int8(
    payload: str, numbers: Numbers
) -> None:
    once = through(payload, numbers)
    again = through(payload, once)
    if payload == "bf16":
        assert (again == once).all()
    else:
        assert np.allclose(again, once, rtol=1e-5)


@settings(deadline=None)
@given(count=COUNTS)
def test_bf16_takes_two_bytes_a_number_and_int8_one_and_a_scale(count: int) -> None:
    for kind, item in ITEM_BYTES.items():
        assert CODECS["bf16"].wire_bytes(count * item, kind) == 2 * count
        groups = -(-count // GROUP)
        assert CODECS["int8"].wire_bytes(count * item, kind) == count + 4 * groups


@pytest.mark.parametrize("payload", CODECS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_seen_at_the_other_end(payload: str, bad: float) -> None:
    numbers = np.ones(3 * GROUP, np.float32)
    numbers[GROUP + 5] = bad
    arrived = through(payload, numbers)
    assert not np.isfinite(arrived[GROUP + 5])
    assert np.isfinite(arrived[:GROUP]).all()
    assert np.isfinite(arrived[2 * GROUP :]).all()


@settings(max_examples=15, deadline=None)
@given(data=st.data(), payload=st.sampled_from(sorted(CODECS)))
def test_a_total_is_off_by_no_more_than_its_hosts_are_together(
    data: st.DataObject, payload: str
) -> None:
    hosts = data.draw(st.sampled_from([(1, 1), (2, 1), (1, 1, 1)]))
    count = data.draw(st.integers(1, 3 * GROUP))
    numbers = arrays.arrays(np.float32, count, elements=st.floats(-1e6, 1e6, width=32))
    inputs = [data.draw(numbers) for _ in range(sum(hosts))]

    def work(group: Group) -> Numbers:
        x = inputs[group.rank].copy()
        CompressedExchange(group, payload).all_reduce(Buffer(memoryview(x).cast("B"), "float32"))
        return x

    groups = make_groups(hosts, slot_bytes=1 << 16)
    results = at_once(groups, work)
    sums = [
        np.sum([inputs[rank] for rank in ranks], axis=0, dtype=np.float32)
        for ranks in groups[0].topology.hosts
    ]
    exact = np.sum(sums, axis=0, dtype=np.float64)
    rounding = 1e-6 * np.sum(np.abs(inputs), axis=0, dtype=np.float64)
    allowed = np.sum([bound(payload, each) for each in sums], axis=0) + rounding
    for result in results:
        assert (np.abs(result - exact) <= allowed).all()
        assert result.tobytes() == results[0].tobytes()


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_bf16_of_half_precision_loses_nothing_as_it_would_save_nothing(kind: NumberKind) -> None:
    dtype = getattr(torch, kind)
    inputs = torch.randn(2, 5000, generator=torch.manual_seed(1)).to(dtype)

    def work(group: Group) -> list[torch.Tensor]:
        found = []
        for collective in (Exchange(group), CompressedExchange(group, "bf16")):
            x = inputs[group.rank].clone()
            collective.all_reduce(Buffer(bytes_of(x), kind))
            found.append(x)
        return found

    for exact, compressed in at_once(make_groups((1, 1)), work):
        assert torch.equal(exact, compressed)


def test_rounding_is_the_same_with_and_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(3).standard_normal(1001).astype(np.float32)
    with_torch = {payload: through(payload, numbers) for payload in CODECS}
    monkeypatch.delitem(sys.modules, "torch")
    for payload in CODECS:
        assert through(payload, numbers).tobytes() == with_torch[payload].tobytes()


def test_an_unknown_payload_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="int4") as refusal:
        CompressedExchange(make_groups((1,))[0], "int4")
    assert "int8" in str(refusal.value.remedy)
