"""The BERT encoder on torch: texts into vectors, in batches. ``encoder_numpy.py`` is its oracle.

Devlin et al. 2018; mean pooling and unit length as sentence-transformers does (Reimers and
Gurevych 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from banyan.core.context import Context
from banyan.engine.config import EncoderConfig, EngineConfig, Precision
from banyan.engine.dequantise import dequantise
from banyan.engine.encoder_checkpoint import EncoderCheckpoint, open_encoder
from banyan.engine.encoding import encode
from banyan.engine.linear import Linear, make_dense
from banyan.engine.weights import activation_dtype

if TYPE_CHECKING:
    from banyan.engine.encoding import Ids, Matrix


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """Ba et al. 2016, over the last axis."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderLayer:
    """One layer's weights; norms come after each sum (BERT is post-norm)."""

    qkv: Linear
    output: Linear
    attention_norm: LayerNorm
    up: Linear
    down: Linear
    ffn_norm: LayerNorm


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderWeights:
    """``positions`` already holds the embedding of token type 0, which every text has."""

    words: Tensor
    positions: Tensor
    norm: LayerNorm
    layers: tuple[EncoderLayer, ...]


class Encoder:
    """Implements ``core.ports.Embedder``."""

    def __init__(self, checkpoint: EncoderCheckpoint, weights: EncoderWeights) -> None:
        self._checkpoint = checkpoint
        self._config = checkpoint.config
        self._weights = weights

    @classmethod
    def load(cls, path: Path, precision: Precision = "auto", threads: int = 0) -> Encoder:
        """``precision`` and ``threads`` as in ``EngineConfig``; packed is bf16 here.

        Raises ``CheckpointInvalid`` and ``UnsupportedModel``.
        """
        chosen = EngineConfig(precision=precision, threads=threads).resolve()
        torch.set_num_threads(chosen.threads)
        checkpoint = open_encoder(path)
        return cls(checkpoint, load_encoder_weights(checkpoint, activation_dtype(chosen.precision)))

    @property
    def name(self) -> str:
        return self._checkpoint.name

    @property
    def dimensions(self) -> int:
        return self._config.hidden

    def embed(self, texts: Sequence[str], context: Context) -> Matrix:
        """Unit vectors float32 [len(texts), dimensions]; a blank text gives zeros, one longer than
        the model's maximum is embedded by its beginning."""
        return encode(texts, self.dimensions, self._checkpoint.token_ids, self._run, context)

    @torch.inference_mode()
    def _run(self, ids: Ids, lengths: Ids) -> Matrix:
        tokens, counts = torch.from_numpy(ids), torch.from_numpy(lengths)
        positions = torch.arange(tokens.shape[1])
        x = self._weights.words[tokens] + self._weights.positions[positions]
        x = self._weights.norm(x)
        seen = positions < counts.unsqueeze(-1)
        mask = None if bool(seen.all()) else seen[:, None, None, :]
        for layer in self._weights.layers:
            x = encoder_layer(x, layer, mask, self._config)
        if self._config.pooling == "cls":
            pooled = x[:, 0].float()
        else:
            kept = seen.unsqueeze(-1).to(x.dtype)
            pooled = (x * kept).sum(dim=1, dtype=torch.float32) / counts.unsqueeze(-1)
        vectors: Matrix = pooled.numpy()
        return vectors


def encoder_layer(
    x: Tensor, layer: EncoderLayer, mask: Tensor | None, config: EncoderConfig
) -> Tensor:
    """[B, n, hidden] -> [B, n, hidden]; ``mask`` bool [B, 1, 1, n] is True where there is text."""
    rows, length, _ = x.shape
    qkv = layer.qkv(x).view(rows, length, 3, config.heads, -1).permute(2, 0, 3, 1, 4)
    attended = functional.scaled_dot_product_attention(*qkv.unbind(0), attn_mask=mask)
    attended = attended.transpose(1, 2).reshape(x.shape)
    x = layer.attention_norm(x + layer.output(attended))
    return layer.ffn_norm(x + layer.down(functional.gelu(layer.up(x))))


def load_encoder_weights(checkpoint: EncoderCheckpoint, dtype: torch.dtype) -> EncoderWeights:
    """Read every matrix once. Raises ``CheckpointInvalid``."""
    config = checkpoint.config
    hidden = config.hidden

    def table(name: str, *shape: int) -> Tensor:
        return dequantise(checkpoint.tensor(name, *shape), dtype)

    def norm(name: str) -> LayerNorm:
        weight, bias = table(f"{name}.weight", hidden), table(f"{name}.bias", hidden)
        return LayerNorm(weight, bias, config.norm_eps)

    def linear(names: Sequence[str], rows: int, width: int) -> Linear:
        matrices = [checkpoint.tensor(f"{name}.weight", rows, width) for name in names]
        bias = torch.cat([table(f"{name}.bias", rows) for name in names])
        return make_dense(matrices, bias, dtype)

    def layer(index: int) -> EncoderLayer:
        prefix = f"encoder.layer.{index}."
        own = f"{prefix}attention.self."
        return EncoderLayer(
            qkv=linear([f"{own}query", f"{own}key", f"{own}value"], hidden, hidden),
            output=linear([f"{prefix}attention.output.dense"], hidden, hidden),
            attention_norm=norm(f"{prefix}attention.output.LayerNorm"),
            up=linear([f"{prefix}intermediate.dense"], config.ffn, hidden),
            down=linear([f"{prefix}output.dense"], hidden, config.ffn),
            ffn_norm=norm(f"{prefix}output.LayerNorm"),
        )

    kinds = checkpoint.tensors.get("embeddings.token_type_embeddings.weight")
    count = kinds.shape[0] if kinds is not None else 0
    positions = table("embeddings.position_embeddings.weight", config.positions, hidden)
    return EncoderWeights(
        words=table("embeddings.word_embeddings.weight", config.vocab, hidden),
        positions=positions + table("embeddings.token_type_embeddings.weight", count, hidden)[0],
        norm=norm("embeddings.LayerNorm"),
        layers=tuple(layer(index) for index in range(config.layers)),
    )
