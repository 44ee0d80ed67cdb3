"""Ranks as threads that send each other messages, every byte counted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")

TIMEOUT_S = 60.0


class Messages:
    """One rank's end; ``queues[a][b]`` leads from rank a to rank b."""

    def __init__(self, rank: int, queues: list[list[SimpleQueue[bytes]]]) -> None:
        self.rank = rank
        self.ranks = len(queues)
        self.sent_bytes = 0
        self.received_bytes = 0
        self._queues = queues

    def send(self, to: int, x: Tensor) -> None:
        data = x.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        self.sent_bytes += len(data)
        self._queues[self.rank][to].put(data)

    def recv_into(self, sender: int, x: Tensor) -> None:
        data = self._queues[sender][self.rank].get(timeout=TIMEOUT_S)
        self.received_bytes += len(data)
        x.view(-1).view(torch.uint8).copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))


class StarComm:
    """Rank 0 adds up, in the order of the ranks, and sends the sum to each."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def all_reduce(self, x: Tensor) -> Tensor:
        messages = self._messages
        if messages.rank:
            messages.send(0, x)
            messages.recv_into(0, x)
            return x
        received = torch.empty_like(x)
        for sender in range(1, messages.ranks):
            messages.recv_into(sender, received)
            x += received
        for other in range(1, messages.ranks):
            messages.send(other, x)
        return x


class ScatterComm:
    """Each rank adds up one piece, in the order of the ranks, and sends that sum to each."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def all_reduce(self, x: Tensor) -> Tensor:
        messages, pieces = self._messages, x.view(-1).tensor_split(self._messages.ranks)
        others = [rank for rank in range(messages.ranks) if rank != messages.rank]
        for other in others:
            messages.send(other, pieces[other])
        own = pieces[messages.rank]
        parts = {messages.rank: own.clone()}
        for other in others:
            parts[other] = torch.empty_like(own)
            messages.recv_into(other, parts[other])
        own.copy_(parts[0])
        for rank in range(1, messages.ranks):
            own += parts[rank]
        for other in others:
            messages.send(other, own)
        for other in others:
            messages.recv_into(other, pieces[other])
        return x


def on_ranks(ranks: int, work: Callable[[Messages], Result]) -> list[Result]:
    """What ``work`` returned on each rank, all at the same time; raises what one raised."""
    queues: list[list[SimpleQueue[bytes]]] = [
        [SimpleQueue() for _ in range(ranks)] for _ in range(ranks)
    ]
    results: dict[int, Result] = {}
    failures: list[Exception] = []

    def run(rank: int) -> None:
        try:
            results[rank] = work(Messages(rank, queues))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive() and not failures:
            thread.join(0.01)
    if failures:
        raise failures[0]
    return [results[rank] for rank in range(ranks)]
