"""Reduce, norm, broadcast: the article's starting point, kept as the reference for what we do.

One rank keeps the stream between the layers. The others send it their summands; it adds them to
the stream, norms that, and sends every rank the result, which is all that they compute on. The
engine's blocks sum on every rank and let each norm for itself: the same numbers, since norm and
broadcast may change places, but by any All-Reduce there is.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from banyan.engine.batch import Batch, LayerKV, OneRank
from banyan.engine.block import BlockShape, Step, attention
from banyan.engine.norm import RmsNorm
from banyan.engine.rope import Rotation
from banyan.engine.weights import LayerWeights


class Messages(Protocol):
    """One rank's way to the others."""

    @property
    def rank(self) -> int: ...

    @property
    def ranks(self) -> int: ...

    def send(self, to: int, x: Tensor) -> None: ...

    def recv_into(self, sender: int, x: Tensor) -> None: ...


class NormOnOne:
    """The stream of ``shape`` [T, hidden], float32, which rank 0 alone has."""

    def __init__(
        self, messages: Messages, stream: Tensor | None, shape: torch.Size, dtype: torch.dtype
    ) -> None:
        if (stream is None) != (messages.rank != 0):
            raise ValueError("rank 0 has the stream, and no other rank has it")
        self.stream = stream
        self._messages = messages
        self._shape = shape
        self._dtype = dtype

    def reduce(self, part: Tensor, post_norm: RmsNorm | None) -> None:
        """Add the ranks' summands [T, hidden] to the stream, in the order of the ranks."""
        if self.stream is None:
            self._messages.send(0, part)
            return
        received = torch.empty_like(part)
        for sender in range(1, self._messages.ranks):
            self._messages.recv_into(sender, received)
            part += received
        self.stream.add_(part if post_norm is None else post_norm(part.float()))

    def broadcast(self, norm: RmsNorm) -> Tensor:
        """What ``norm`` makes of the stream [T, hidden], on every rank."""
        if self.stream is None:
            normed = torch.empty(self._shape, dtype=self._dtype)
            self._messages.recv_into(0, normed)
            return normed
        normed = norm(self.stream, self._dtype)
        for other in range(1, self._messages.ranks):
            self._messages.send(other, normed)
        return normed


def block(
    normed: Tensor,
    weights: LayerWeights,
    next_norm: RmsNorm,
    kv: LayerKV,
    batch: Batch,
    rotation: Rotation,
    shape: BlockShape,
    one: NormOnOne,
) -> Tensor:
    """A layer, from its normed input [T, hidden] to that of what comes next."""
    part = attention(normed, weights, kv, Step(batch, OneRank()), rotation, shape)
    one.reduce(part, weights.attention_post_norm)
    part = weights.ffn(one.broadcast(weights.ffn_norm))
    one.reduce(part, weights.ffn_post_norm)
    return one.broadcast(next_norm)
