"""All-Reduce and a norm on every rank: what Reduce, a norm on one rank and Broadcast compute."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
import torch
from tests.engine.allocations import Allocations
from tests.engine.messages import Messages, ScatterComm, StarComm, on_ranks
from torch import Tensor

from banyan.core.layout import Share
from banyan.engine.batch import Batch, Comm, Span
from banyan.engine.block import BlockShape, Step, block
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.config import ModelConfig, Precision
from banyan.engine.cut import cut
from banyan.engine.norm import RmsNorm
from banyan.engine.reduce_norm_broadcast import NormOnOne
from banyan.engine.reduce_norm_broadcast import block as block_of_one
from banyan.engine.reference import NoCache
from banyan.engine.rope import Rope
from banyan.engine.weights import LayerWeights, activation_dtype, load_weights
from banyan.plan.shares import shares

ROWS, LAYERS = 11, 2
BATCH = Batch(
    id=0,
    tokens=torch.arange(ROWS),
    positions=torch.arange(ROWS),
    spans=(Span(sequence_id=0, start=0, length=ROWS, context=ROWS, pages=()),),
    logit_rows=torch.arange(ROWS),
)


class Way(Protocol):
    """One of the two, over two layers: the stream afterwards (None: this rank has none)."""

    def __call__(self, part: Part, messages: Messages) -> Tensor | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One rank's two layers, and the norm after them."""

    config: ModelConfig
    layers: tuple[LayerWeights, LayerWeights]
    last_norm: RmsNorm
    dtype: torch.dtype

    def shape(self, layer: int) -> BlockShape:
        return BlockShape.of_layer(self.config, layer, self.dtype)

    def rotation(self, layer: int):
        rope = self.config.ropes[self.config.layer_ropes[layer]]
        return Rope(rope, self.config.head_dim).rotation(BATCH, self.dtype)

    def stream(self) -> Tensor:
        return torch.randn(ROWS, self.config.hidden, generator=torch.Generator().manual_seed(5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a rank ended with, moved, and held at most beyond its weights and its stream."""

    stream: Tensor | None
    moved_bytes: int
    peak_bytes: int


def load(folder: Path, share: Share, precision: Precision) -> Part:
    checkpoint = cut(open_checkpoint(folder), share)
    weights = load_weights(checkpoint, precision, 1, share=share)
    with weights.layer(0) as first, weights.layer(1) as second, weights.layer(2) as third:
        return Part(
            config=checkpoint.config,
            layers=(first, second),
            last_norm=third.attention_norm,
            dtype=activation_dtype(precision),
        )


def by_all_reduce(comm: type[StarComm] | type[ScatterComm]) -> Way:
    def run(part: Part, messages: Messages) -> Tensor:
        x, summing = part.stream(), comm(messages)
        return _blocks(part, x, summing)

    return run


def _blocks(part: Part, x: Tensor, comm: Comm) -> Tensor:
    for layer, weights in enumerate(part.layers):
        step = Step(BATCH, comm)
        x = block(x, weights, NoCache(), step, part.rotation(layer), part.shape(layer))
    return x


def by_one_rank(part: Part, messages: Messages) -> Tensor | None:
    stream = None if messages.rank else part.stream()
    one = NormOnOne(messages, stream, torch.Size((ROWS, part.config.hidden)), part.dtype)
    first, second = part.layers
    normed = one.broadcast(first.attention_norm)
    for layer, (weights, norm) in enumerate(
        ((first, second.attention_norm), (second, part.last_norm))
    ):
        rotation, shape = part.rotation(layer), part.shape(layer)
        normed = block_of_one(normed, weights, norm, NoCache(), BATCH, rotation, shape, one)
    return one.stream


def seen(folder: Path, ranks: int, precision: Precision, way: Way) -> list[Seen]:
    dealt = shares(open_checkpoint(folder).config.shape, [1.0] * ranks)
    parts = [load(folder, share, precision) for share in dealt]

    def work(messages: Messages) -> Seen:
        with torch.inference_mode(), Allocations() as allocations:
            stream = way(parts[messages.rank], messages)
        moved = messages.sent_bytes + messages.received_bytes
        return Seen(stream=stream, moved_bytes=moved, peak_bytes=allocations.peak)

    return on_ranks(ranks, work)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("family", "ranks"), [("llama", 2), ("qwen3", 3), ("gemma3", 3), ("mixtral", 4)]
)
def test_summing_and_norming_everywhere_computes_the_same_bits(tiny, family, ranks, precision):
    folder = tiny(family)
    reference = seen(folder, ranks, precision, by_one_rank)
    assert [rank.stream is None for rank in reference] == [False] + [True] * (ranks - 1)
    for comm in (StarComm, ScatterComm):
        for rank in seen(folder, ranks, precision, by_all_reduce(comm)):
            assert torch.equal(rank.stream, reference[0].stream)


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_one_rank_moves_all_bytes_where_an_all_reduce_can_spread_them(tiny, ranks):
    folder = tiny("llama")
    message = ROWS * open_checkpoint(folder).config.hidden * 4
    sums, broadcasts = 2 * LAYERS, 2 * LAYERS + 1
    reference = [rank.moved_bytes for rank in seen(folder, ranks, "fp32", by_one_rank)]
    worker = (sums + broadcasts) * message
    assert reference == [(ranks - 1) * worker] + [worker] * (ranks - 1)
    star = [rank.moved_bytes for rank in seen(folder, ranks, "fp32", by_all_reduce(StarComm))]
    worker = 2 * sums * message
    assert star == [(ranks - 1) * worker] + [worker] * (ranks - 1)
    spread = [rank.moved_bytes for rank in seen(folder, ranks, "fp32", by_all_reduce(ScatterComm))]
    for moved in spread:
        assert moved == pytest.approx(4 * sums * message * (ranks - 1) / ranks, rel=0.01)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("ranks", [2, 3])
def test_no_rank_needs_more_temporary_memory_than_the_one_that_norms(tiny, ranks, precision):
    """What every rank keeps more is its own stream: [T, hidden] in float32."""
    folder = tiny("llama")
    stream_bytes = ROWS * open_checkpoint(folder).config.hidden * 4
    reference = seen(folder, ranks, precision, by_one_rank)
    for comm in (StarComm, ScatterComm):
        for rank in seen(folder, ranks, precision, by_all_reduce(comm)):
            assert rank.peak_bytes <= reference[0].peak_bytes
            assert rank.stream.nbytes == stream_bytes


def test_the_stream_is_rank_zeros_alone():
    messages = Messages(1, [[], []])
    with pytest.raises(ValueError, match="rank 0 has the stream"):
        NormOnOne(messages, torch.zeros(1, 1), torch.Size((1, 1)), torch.float32)
