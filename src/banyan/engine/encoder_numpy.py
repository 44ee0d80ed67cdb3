"""The BERT encoder in plain numpy: the oracle of ``encoder.py``, and the quick way to embed one
question, since it needs no torch (importing torch takes longer than the question itself).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from banyan.core.context import Context
from banyan.core.errors import UnsupportedModel
from banyan.engine import stored as formats
from banyan.engine.encoder_checkpoint import EncoderCheckpoint, open_encoder
from banyan.engine.encoding import encode
from banyan.engine.stored import Stored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from banyan.engine.encoding import Ids, Matrix

    Mask = NDArray[np.bool_]

# Abramowitz and Stegun, formula 7.1.26: |error| <= 1.5e-7, which is float32's own.
_ERF_P: Final = 0.3275911
_ERF_COEFFICIENTS: Final = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


class NumpyEncoder:
    """Implements ``core.ports.Embedder`` in float32."""

    def __init__(self, checkpoint: EncoderCheckpoint) -> None:
        self._checkpoint = checkpoint
        self._config = checkpoint.config
        self._tables = {name: _numbers(tensor) for name, tensor in checkpoint.tensors.items()}

    @classmethod
    def load(cls, path: Path) -> NumpyEncoder:
        """Raises ``CheckpointInvalid`` and ``UnsupportedModel``."""
        return cls(open_encoder(path))

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

    def _run(self, ids: Ids, lengths: Ids) -> Matrix:
        positions = np.arange(ids.shape[1])
        x = self._table("embeddings.word_embeddings.weight")[ids]
        x = x + self._table("embeddings.position_embeddings.weight")[positions]
        x = x + self._table("embeddings.token_type_embeddings.weight")[0]
        x = self._norm(x, "embeddings.LayerNorm")
        hidden = positions[None, :] >= lengths[:, None]
        for layer in range(self._config.layers):
            x = self._layer(x, f"encoder.layer.{layer}.", hidden)
        if self._config.pooling == "cls":
            return x[:, 0]
        kept = (~hidden)[:, :, None].astype(np.float32)
        pooled: Matrix = (x * kept).sum(axis=1) / lengths[:, None].astype(np.float32)
        return pooled

    def _layer(self, x: Matrix, prefix: str, hidden: Mask) -> Matrix:
        attended = self._linear(
            self._attention(x, prefix, hidden), f"{prefix}attention.output.dense"
        )
        x = self._norm(x + attended, f"{prefix}attention.output.LayerNorm")
        fed = _gelu(self._linear(x, f"{prefix}intermediate.dense"))
        return self._norm(
            x + self._linear(fed, f"{prefix}output.dense"), f"{prefix}output.LayerNorm"
        )

    def _attention(self, x: Matrix, prefix: str, hidden: Mask) -> Matrix:
        q, k, v = (
            self._heads(self._linear(x, f"{prefix}attention.self.{part}"))
            for part in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(np.float32(q.shape[-1]))
        scores = np.where(hidden[:, None, None, :], np.float32(-np.inf), scores)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        attended: Matrix = (weights @ v).swapaxes(1, 2).reshape(x.shape)
        return attended

    def _heads(self, x: Matrix) -> Matrix:
        """[B, n, hidden] -> [B, heads, n, d]."""
        return x.reshape(*x.shape[:2], self._config.heads, -1).swapaxes(1, 2)

    def _linear(self, x: Matrix, name: str) -> Matrix:
        rows = x.reshape(-1, x.shape[-1])  # one large product instead of one per text
        product = rows @ self._table(f"{name}.weight").T + self._table(f"{name}.bias")
        return product.reshape(*x.shape[:-1], -1)

    def _norm(self, x: Matrix, name: str) -> Matrix:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(variance + np.float32(self._config.norm_eps))
        normed: Matrix = scaled * self._table(f"{name}.weight") + self._table(f"{name}.bias")
        return normed

    def _table(self, name: str) -> Matrix:
        return self._tables[name]


def _numbers(tensor: Stored) -> Matrix:
    """Float32; where the file holds float32 it is used in place."""
    raw = tensor.data.reshape(-1)
    if tensor.format == formats.F32:
        numbers = raw.view(np.float32)
    elif tensor.format == formats.F16:
        numbers = raw.view(np.float16).astype(np.float32)
    elif tensor.format == formats.BF16:
        numbers = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        raise UnsupportedModel(f"Tensor {tensor.name} is in {tensor.format.name}.")
    return numbers.reshape(tensor.shape)


def _gelu(x: Matrix) -> Matrix:
    """Hendrycks and Gimpel 2016, by the error function."""
    z = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(_ERF_P) * z)
    series = np.zeros_like(t)
    for coefficient in _ERF_COEFFICIENTS:
        series = (series + np.float32(coefficient)) * t
    erf = np.copysign(1 - series * np.exp(-z * z), x)
    gated: Matrix = np.float32(0.5) * x * (1 + erf)
    return gated
