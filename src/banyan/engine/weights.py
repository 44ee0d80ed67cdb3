"""Weights: a decoder's matrices, layer by layer, as the blocks want them.

Where a layer's weights lie (here: resident in memory; in ``stream/``: on their way) is behind
``layer``, a context manager, so that no block can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from banyan.core.errors import CheckpointInvalid
from banyan.core.layout import Interval, Share
from banyan.engine.checkpoint import Checkpoint
from banyan.engine.config import Precision
from banyan.engine.dequantise import dequantise, dequantise_rows
from banyan.engine.experts import Experts
from banyan.engine.feed_forward import FeedForward, GatedFfn
from banyan.engine.linear import CPU, Linear, make_dense, make_packed
from banyan.engine.norm import RmsNorm
from banyan.engine.stored import Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerWeights:
    """One layer. ``qk_norm`` weighs [heads + kv_heads, d]: q's norm, then k's."""

    qkv: Linear
    output: Linear
    ffn: FeedForward
    attention_norm: RmsNorm
    ffn_norm: RmsNorm
    qk_norm: RmsNorm | None = None
    attention_post_norm: RmsNorm | None = None
    ffn_post_norm: RmsNorm | None = None

    @property
    def size_bytes(self) -> int:
        extra = (self.qk_norm, self.attention_post_norm, self.ffn_post_norm)
        norms = [self.attention_norm, self.ffn_norm, *(norm for norm in extra if norm is not None)]
        matrices = self.qkv.size_bytes + self.output.size_bytes + self.ffn.size_bytes
        return matrices + sum(norm.size_bytes for norm in norms)


@dataclass(frozen=True, slots=True)
class Embedding:
    """The token table, left in the file: a step decodes only the rows it needs.

    ``first`` is the token of the table's first row, where it is a cut of the vocabulary.
    """

    table: Stored
    scale: float
    first: int = 0

    def __call__(self, tokens: Tensor, device: torch.device = CPU) -> Tensor:
        """int64 [T] -> float32 [T, hidden] on ``device``; zeros for tokens that are not in the
        table."""
        places = tokens - self.first
        absent = (places < 0) | (places >= self.table.shape[0])
        rows = dequantise_rows(self.table, places.masked_fill(absent, 0), device)
        if bool(absent.any()):
            rows[absent.to(device)] = 0.0
        return rows if self.scale == 1.0 else rows * self.scale


@dataclass(frozen=True, slots=True)
class Head:
    """The last norm and the matrix from the stream to logits."""

    norm: RmsNorm
    linear: Linear

    @property
    def size_bytes(self) -> int:
        return self.norm.size_bytes + self.linear.size_bytes


class Weights(Protocol):
    """What a model, or one stage of it, runs on."""

    @property
    def embedding(self) -> Embedding | None:
        """None in all stages but the first."""
        ...

    @property
    def head(self) -> Head | None:
        """None in all stages but the last."""
        ...

    @property
    def size_bytes(self) -> int: ...

    def layer(self, index: int) -> AbstractContextManager[LayerWeights]:
        """The weights of layer ``index``, in place until the context ends."""
        ...

    def close(self) -> None:
        """No layer is asked for any more."""
        ...


class ResidentWeights:
    """Every layer in memory for good."""

    def __init__(
        self, embedding: Embedding | None, layers: Sequence[LayerWeights], head: Head | None
    ) -> None:
        self.embedding = embedding
        self.head = head
        self._layers = [nullcontext(layer) for layer in layers]
        self.size_bytes = sum(layer.size_bytes for layer in layers)
        self.size_bytes += 0 if head is None else head.size_bytes
        self.size_bytes += 0 if embedding is None else embedding.table.size_bytes

    def layer(self, index: int) -> AbstractContextManager[LayerWeights]:
        return self._layers[index]

    def close(self) -> None:
        """Nothing is on its way."""


def load_weights(
    checkpoint: Checkpoint,
    precision: Precision,
    threads: int,
    *,
    copy: bool = False,
    share: Share | None = None,
    device: torch.device = CPU,
) -> ResidentWeights:
    """Read every matrix once, layers in parallel. Raises ``CheckpointInvalid``.

    ``share`` is what a checkpoint that was cut (``cut.py``) is of the whole.
    """
    config = checkpoint.config
    reader = WeightReader(checkpoint, precision, copy=copy, device=device)
    experts = Interval(0, config.experts) if share is None else share.experts
    first_token = 0 if share is None else share.vocab.begin
    with ThreadPoolExecutor(threads) as pool:
        head = pool.submit(reader.head)
        layers = list(pool.map(lambda layer: reader.layer(layer, experts), range(config.layers)))
    reader.check_all_used()
    return ResidentWeights(reader.embedding(first_token), layers, head.result())


class WeightReader:
    """Turns a checkpoint's tensors into weights, and remembers which it has used."""

    def __init__(
        self, checkpoint: Checkpoint, precision: Precision, *, copy: bool, device: torch.device
    ) -> None:
        self._checkpoint = checkpoint
        self._config = checkpoint.config
        self._precision = precision
        self._copy = copy
        self._device = device
        self._dtype = activation_dtype(precision)
        self._used: set[str] = set()

    def embedding(self, first_token: int) -> Embedding | None:
        if not self._checkpoint.has_start:
            return None
        config = self._config
        table = self._checkpoint.tensor("embedding", config.vocab, config.hidden)
        return Embedding(table, config.embedding_scale, first_token)

    def head(self) -> Head | None:
        if not self._checkpoint.has_end:
            return None
        name = "embedding" if self._config.tied else "head"
        matrix = self._checkpoint.tensor(name, self._config.vocab, self._config.hidden)
        return Head(self.norm("norm", self._config.hidden), self.linear([matrix], None))

    def linear(self, matrices: Sequence[Stored], bias: Tensor | None) -> Linear:
        if self._precision == "packed":
            return make_packed(matrices, bias, copy=self._copy)
        return make_dense(matrices, bias, self._dtype, device=self._device)

    def norm(self, name: str, size: int) -> RmsNorm:
        weight = dequantise(self._tensor(name, size)) + self._checkpoint.norm_offset
        return RmsNorm.of(weight.to(self._device), self._config.norm_eps)

    def layer(self, index: int, experts: Interval) -> LayerWeights:
        config, prefix = self._config, f"layers.{index}."
        q, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
        hidden = config.hidden
        norm = self._norms(prefix)
        return LayerWeights(
            qkv=self._stacked(prefix, {"q": q, "k": kv, "v": kv}, hidden, bias=config.qkv_bias),
            output=self._stacked(prefix, {"o": hidden}, q, bias=config.output_bias),
            ffn=self._experts(prefix, experts) if config.experts else self._gated(prefix),
            attention_norm=norm("attention_norm", hidden),
            ffn_norm=norm("ffn_norm", hidden),
            qk_norm=self._qk_norm(norm) if config.qk_norm else None,
            attention_post_norm=(
                norm("attention_post_norm", hidden) if config.sandwich_norms else None
            ),
            ffn_post_norm=norm("ffn_post_norm", hidden) if config.sandwich_norms else None,
        )

    def check_all_used(self) -> None:
        """A tensor left over is a part of the model that would silently not be computed."""
        ends = {"embedding", "head"}  # a tied checkpoint may repeat its embedding as head
        left = self._checkpoint.tensors.keys() - self._used - ends
        if left:
            source = self._checkpoint.source
            raise CheckpointInvalid(
                f"{source} holds {min(left)}, which its configuration does not use."
            )

    def _tensor(self, name: str, *shape: int) -> Stored:
        self._used.add(name)
        return self._checkpoint.tensor(name, *shape)

    def _norms(self, prefix: str) -> Callable[[str, int], RmsNorm]:
        return lambda name, size: self.norm(f"{prefix}{name}.weight", size)

    def _qk_norm(self, norm: Callable[[str, int], RmsNorm]) -> RmsNorm:
        size = self._config.head_dim
        q = norm("q_norm", size).weight.expand(self._config.heads, size)
        k = norm("k_norm", size).weight.expand(self._config.kv_heads, size)
        return RmsNorm.of(torch.cat((q, k)), self._config.norm_eps)

    def _gated(self, prefix: str) -> GatedFfn:
        config = self._config
        gate_up = {"gate": config.ffn, "up": config.ffn}
        return GatedFfn(
            self._stacked(prefix, gate_up, config.hidden, bias=config.ffn_bias),
            self._stacked(prefix, {"down": config.hidden}, config.ffn, bias=config.ffn_bias),
            config.activation,
        )

    def _experts(self, prefix: str, own: Interval) -> Experts:
        """The whole router, in float32 always, and this rank's ``own`` experts."""
        config = self._config
        router = self._tensor(f"{prefix}router.weight", config.experts, config.hidden)
        numbers = range(own.begin, own.end)
        return Experts(
            router=make_dense([router], None, torch.float32, device=self._device),
            experts=tuple(self._gated(f"{prefix}experts.{number}.") for number in numbers),
            first=own.begin,
            per_token=config.experts_per_token,
            normalise=config.normalise_experts,
        )

    def _stacked(self, prefix: str, parts: dict[str, int], width: int, *, bias: bool) -> Linear:
        """The matrices ``parts`` (name and rows) of one layer as one linear."""
        matrices = [
            self._tensor(f"{prefix}{part}.weight", rows, width) for part, rows in parts.items()
        ]
        if not bias:
            return self.linear(matrices, None)
        biases = [self._tensor(f"{prefix}{part}.bias", rows) for part, rows in parts.items()]
        return self.linear(matrices, torch.cat([dequantise(each) for each in biases]))


def activation_dtype(precision: Precision) -> torch.dtype:
    """What flows between the layers: float32, or bfloat16 for bf16 and packed weights."""
    return torch.float32 if precision == "fp32" else torch.bfloat16
