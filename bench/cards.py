"""Collectives of numbers that lie on a graphics card, as ``bench/comm.py --cards`` times them.

Numbers are bf16, as activations on a card are. Where ranks share a card, or cross hosts, they go
through pinned memory; ranks of one host with a card each also sum over NCCL.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from banyan.engine.batch import Comm
from banyan.engine.comm.cards import CardsComm
from banyan.engine.comm.collective import Buffer, Collective
from banyan.engine.comm.group import Group
from banyan.engine.comm.tensors import GroupComm

DTYPE = torch.bfloat16
CHECKED = (1, 1000, 200_000)
"""Numbers of the sums that are compared with what they should be."""


class OnCard:
    """Sums as many bytes on ``device`` as the buffer is long; the buffer stays as it is."""

    def __init__(self, name: str, comm: Comm, group: Group, device: torch.device) -> None:
        self.name = name
        self._comm = comm
        self._device = device
        self._x = torch.zeros(0, dtype=DTYPE, device=device)
        self._check(group)

    def all_reduce(self, buffer: Buffer) -> None:
        count = len(buffer.data) // DTYPE.itemsize
        if self._x.numel() != count:
            self._x = torch.zeros(count, dtype=DTYPE, device=self._device)
        self._comm.all_reduce(self._x)
        torch.cuda.synchronize(self._device)

    def _check(self, group: Group) -> None:
        total = sum(rank + 1 for rank in group.topology.ranks)
        for count in CHECKED:
            x = torch.full((count,), group.rank + 1, dtype=DTYPE, device=self._device)
            if not bool((self._comm.all_reduce(x) == total).all()):
                raise SystemExit(f"{self.name} gave a wrong sum of {count} numbers.")


def on_cards(
    collectives: Mapping[str, Collective], group: Group, device: torch.device
) -> dict[str, Collective]:
    """The same collectives for numbers on ``device``, and NCCL where all ranks are on one host.

    All ranks must call it at once; it checks what each collective makes of known numbers.
    """
    torch.set_num_threads(1)  # sums of a piece would wait for threads that other ranks hold up
    comms: dict[str, Comm] = {name: GroupComm(single) for name, single in collectives.items()}
    if len(group.topology.hosts) == 1:
        comms["nccl"] = CardsComm(group, device, None)
    return {name: OnCard(name, comm, group, device) for name, comm in comms.items()}
