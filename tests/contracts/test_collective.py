"""What every collective must do: the same sums, the same bytes on all ranks, or a named loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.engine.comm.groups import at_once, make_groups

from banyan.core.errors import PeerLost
from banyan.engine.comm.choose import make_collective
from banyan.engine.comm.collective import Buffer, NumberKind
from banyan.engine.comm.collectives import COLLECTIVES
from banyan.engine.comm.compress import CompressedExchange
from banyan.engine.comm.group import Group
from banyan.engine.comm.tensors import bytes_of

HOSTS = [(1,), (4,), (1, 1), (2, 2), (4, 4), (2, 2, 2), (1, 1, 1, 1), (3, 1, 2)]
DTYPES: dict[NumberKind, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def numbers(rank: int, count: int, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1000 + rank)
    return torch.randn(count, generator=generator).to(dtype)


def summed(groups: list[Group], name: str, sizes: list[int], kind: NumberKind) -> None:
    """Sum messages of ``sizes`` numbers, one after the other, and check each on every rank."""
    dtype = DTYPES[kind]

    def work(group: Group) -> list[torch.Tensor]:
        collective = COLLECTIVES[name](group)
        found = []
        for count in sizes:
            x = numbers(group.rank, count, dtype)
            collective.all_reduce(Buffer(bytes_of(x), kind))
            found.append(x)
        return found

    results = at_once(groups, work)
    for place, count in enumerate(sizes):
        inputs = [numbers(group.rank, count, dtype).double() for group in groups]
        exact = torch.stack(inputs).sum(0)
        bound = torch.stack(inputs).abs().sum(0) * len(groups) * torch.finfo(dtype).eps + 1e-6
        first = results[0][place]
        assert ((first.double() - exact).abs() <= bound).all()
        for result in results[1:]:
            assert torch.equal(result[place].view(torch.uint8), first.view(torch.uint8))


@pytest.mark.parametrize("name", COLLECTIVES)
@pytest.mark.parametrize("hosts", HOSTS, ids=str)
def test_sums_are_right_and_alike_everywhere(name: str, hosts: tuple[int, ...]) -> None:
    sizes = [1, 7, 4096, 0, 33_333, 2, 300_001, 64]
    summed(make_groups(hosts), name, sizes, "float32")


@pytest.mark.parametrize("name", COLLECTIVES)
@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_half_precision_is_rounded_alike_everywhere(name: str, kind: NumberKind) -> None:
    summed(make_groups((2, 2)), name, [5, 2049, 0, 200_000], kind)
    summed(make_groups((2, 1, 1)), name, [5, 2049, 200_000], kind)


@pytest.mark.parametrize("name", COLLECTIVES)
def test_a_message_longer_than_the_shared_memory_goes_through(name: str) -> None:
    summed(make_groups((2, 2), slot_bytes=1 << 18), name, [5_000_000 // 4, 3], "float32")


@pytest.mark.parametrize("name", COLLECTIVES)
def test_many_messages_in_a_row_stay_apart(name: str) -> None:
    summed(make_groups((2, 2)), name, [1, 3, 17, 1000] * 25, "float32")


@pytest.mark.parametrize("name", COLLECTIVES)
def test_a_rank_that_goes_is_a_named_loss_for_its_peers(name: str) -> None:
    groups = make_groups((1, 1, 1))

    def work(group: Group) -> None:
        collective = COLLECTIVES[name](group)
        if group.rank == 2:
            group.close()
            return
        data = np.zeros(1 << 20, dtype=np.uint8)
        collective.all_reduce(Buffer(memoryview(data), "float32"))

    with pytest.raises(PeerLost, match=r"rank [012]"):
        at_once(groups, work)


@pytest.mark.parametrize("hosts", [(1, 1), (2, 2), (2, 1, 1)], ids=str)
def test_auto_sums_alike_everywhere_whatever_it_picks(hosts: tuple[int, ...]) -> None:
    def work(group: Group) -> list[torch.Tensor]:
        collective = make_collective(group, "auto", "exact")
        found = []
        for count in (1, 5000, 0, 200_001):
            x = numbers(group.rank, count, torch.float32)
            collective.all_reduce(Buffer(bytes_of(x), "float32"))
            found.append(x)
        return found

    groups = make_groups(hosts)
    results = at_once(groups, work)
    for place, count in enumerate((1, 5000, 0, 200_001)):
        exact = torch.stack([numbers(g.rank, count, torch.float32) for g in groups]).sum(0)
        for result in results:
            assert torch.allclose(result[place], exact, atol=1e-5)
            assert torch.equal(result[place], results[0][place])


@pytest.mark.parametrize("payload", ["bf16", "int8"])
@pytest.mark.parametrize("hosts", [(1, 1), (2, 2), (1, 2, 1)], ids=str)
def test_a_lossy_payload_keeps_its_bound_and_is_alike_everywhere(
    payload: str, hosts: tuple[int, ...]
) -> None:
    sizes = (1, 127, 129, 70_000)

    def work(group: Group) -> list[torch.Tensor]:
        collective = CompressedExchange(group, payload)
        found = []
        for count in sizes:
            x = numbers(group.rank, count, torch.float32)
            collective.all_reduce(Buffer(bytes_of(x), "float32"))
            found.append(x)
        return found

    groups = make_groups(hosts)
    results = at_once(groups, work)
    for place, count in enumerate(sizes):
        inputs = [numbers(g.rank, count, torch.float32) for g in groups]
        exact = torch.stack(inputs).sum(0)
        largest = max(float(x.abs().max()) for x in inputs) * max(hosts)
        bound = len(hosts) * largest * (2**-9 if payload == "bf16" else 1 / 254) + 1e-5
        for result in results:
            assert float((result[place] - exact).abs().max()) <= bound
            assert torch.equal(result[place], results[0][place])
