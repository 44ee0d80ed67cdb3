"""Stage: one rank's part in computing a batch: its layers, between the stage before and the stage
after.

Activations cross from stage to stage by the first rank of each alone, in the activations' type; it
shares what it received with its own stage by the collective that is there already: a sum in which
all others put zeros.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

import torch
from torch import Tensor

from banyan.core.errors import ClusterError
from banyan.engine.batch import Batch, Comm, LayerKV, OneRank
from banyan.engine.comm.tensors import bytes_of
from banyan.engine.config import ModelConfig
from banyan.engine.kv import Cache
from banyan.engine.micro_batch import micro_batches
from banyan.engine.overlap import LEAST_BYTES, overlapped


class StageLink(Protocol):
    """The way to a rank of another stage."""

    def send(self, data: memoryview) -> None: ...

    def recv_into(self, buffer: memoryview) -> None: ...


class Part(Protocol):
    """What a stage needs of its model (``model.Model`` is one); x is float32 [T, hidden]."""

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def config(self) -> ModelConfig: ...

    def embed(self, batch: Batch, comm: Comm) -> Tensor: ...

    def run_layers(self, x: Tensor, batch: Batch, kv: Sequence[LayerKV], comm: Comm) -> Tensor: ...

    def logits(self, x: Tensor, batch: Batch) -> Tensor: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a rank stands in the pipeline, and whether large batches are computed in halves that
    hide each other's sums. ``before`` and ``after`` lead to the neighbouring
    stages, on the first rank of each stage only."""

    is_first: bool = True
    is_last: bool = True
    micro_batch_tokens: int = 0
    overlaps: bool = False
    before: StageLink | None = None
    after: StageLink | None = None


class Stage:
    """Computes batches in the order they are given; ``overlaps`` may be changed between them."""

    def __init__(self, part: Part, kv: Cache, comm: Comm, place: Place) -> None:
        self._part = part
        self._kv = kv
        self._comm = comm
        self._place = place
        self.overlaps = place.overlaps and not isinstance(comm, OneRank)
        self._sender = None if place.after is None else _Sender(place.after)

    @torch.inference_mode()
    def run(self, batch: Batch) -> Tensor | None:
        """Float32 logits [R, own vocabulary] in the last stage, None before it."""
        place = self._place
        alone = place.is_first and place.is_last
        rows = len(batch.tokens) if alone else place.micro_batch_tokens
        found = [self._piece(piece) for piece in micro_batches(batch, rows)]
        return torch.cat(found) if place.is_last else None

    def close(self) -> None:
        """Nothing is computed any more."""
        self._part.close()
        self._kv.close()

    def _piece(self, piece: Batch) -> Tensor:
        """The logits of one micro-batch; before the last stage, its activations."""
        part, place = self._part, self._place
        message = len(piece.tokens) * part.config.hidden * part.dtype.itemsize
        if place.is_first and message >= LEAST_BYTES and self.overlaps:
            x = overlapped(self._computed, piece, self._comm)
        else:
            x = self._computed(piece, self._comm)
        if place.is_last:
            return part.logits(x, piece)
        if self._sender is not None:
            self._sender.put(x.to("cpu", part.dtype))
        return x

    def _computed(self, piece: Batch, comm: Comm) -> Tensor:
        """Activations after this stage's layers."""
        part = self._part
        x = part.embed(piece, comm) if self._place.is_first else self._received(piece)
        return part.run_layers(x, piece, self._kv.layers, comm)

    def _received(self, piece: Batch) -> Tensor:
        shape = (len(piece.tokens), self._part.config.hidden)
        x = torch.zeros(shape, dtype=self._part.dtype)
        if self._place.before is not None:
            self._place.before.recv_into(bytes_of(x))
        return self._comm.all_reduce(x.to(self._part.device)).float()


class _Sender:
    """A thread that sends, so that the next micro-batch is computed meanwhile."""

    def __init__(self, link: StageLink) -> None:
        self._link = link
        self._queue: SimpleQueue[Tensor] = SimpleQueue()
        self._failure: ClusterError | None = None
        threading.Thread(target=self._run, name="stage sender", daemon=True).start()

    def put(self, x: Tensor) -> None:
        """Raises what sending an earlier one raised."""
        if self._failure is not None:
            raise self._failure
        self._queue.put(x.contiguous())

    def _run(self) -> None:
        try:
            while True:
                self._link.send(bytes_of(self._queue.get()))
        except ClusterError as error:
            self._failure = error
