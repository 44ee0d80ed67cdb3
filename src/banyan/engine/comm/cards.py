"""CardsComm: a host whose ranks have a card each sums over NCCL; hosts sum between their masters.

NCCL moves numbers from card to card; what crosses hosts goes through the master's memory by one of
our own collectives, for links between hosts are not what NCCL is made for. torch's store, which has
no authentication, listens on loopback alone, and NVLink multicast stays off.
"""

from __future__ import annotations

import os
import struct
from datetime import timedelta
from typing import Final

import torch
import torch.distributed as dist
from torch import Tensor

from banyan.core.errors import ClusterError, PeerLost
from banyan.engine.batch import Comm
from banyan.engine.comm.group import Group

LOOPBACK: Final = "127.0.0.1"
TIMEOUT: Final = timedelta(seconds=60)


class CardsComm:
    """``between`` sums over the masters of all hosts; None where there is one host. All ranks of
    the host must make theirs at once."""

    def __init__(self, group: Group, device: torch.device, between: Comm | None) -> None:
        local = group.topology.local(group.rank)
        self._between = between
        self._is_master = group.rank == group.topology.master_of(group.rank)
        backend = "nccl" if device.type == "cuda" else "gloo"
        os.putenv("NCCL_NVLS_ENABLE", "0")
        os.putenv("NCCL_SOCKET_IFNAME", "lo")
        try:
            if device.type == "cuda":
                torch.cuda.set_device(device)
            store = _store(group)
            dist.init_process_group(
                backend,
                store=store,
                rank=local.index(group.rank),
                world_size=len(local),
                timeout=TIMEOUT,
            )
        except (RuntimeError, ValueError) as error:
            raise ClusterError(f"The cards of this host do not find together: {error}.") from None

    def all_reduce(self, x: Tensor) -> Tensor:
        """See ``Comm``; works in place where ``x`` is contiguous. Raises ``PeerLost``."""
        x = x.contiguous()
        try:
            if self._between is None:
                dist.all_reduce(x)
                return x
            dist.reduce(x, dst=0)
            if self._is_master:
                x = self._between.all_reduce(x)
            dist.broadcast(x, src=0)
        except RuntimeError as error:
            raise PeerLost(f"A card of this host is gone: {error}.") from None
        return x


def _store(group: Group) -> dist.TCPStore:
    """The host's store; its master listens on a free port and tells the others."""
    local = group.topology.local(group.rank)
    master = group.topology.master_of(group.rank)
    if group.rank == master:
        store = dist.TCPStore(LOOPBACK, 0, len(local), is_master=True, wait_for_workers=False)
        for rank in local:
            if rank != master:
                group.links[rank].send(memoryview(struct.pack("<H", store.port)))
        return store
    told = bytearray(2)
    group.links[master].recv_into(memoryview(told))
    (port,) = struct.unpack("<H", told)
    return dist.TCPStore(LOOPBACK, port, len(local), is_master=False)
