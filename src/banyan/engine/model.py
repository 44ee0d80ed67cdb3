"""Model: a decoder's forward pass over a ragged batch.

It knows nothing of sequences, sampling or text: tokens and positions in, logits out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from banyan.engine.batch import Batch, Comm, LayerKV
from banyan.engine.block import BlockShape, Step, block
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.config import EngineConfig, ModelConfig, Precision
from banyan.engine.rope import Rope
from banyan.engine.weights import Weights, activation_dtype, load_weights


class Model:
    """``dtype`` is that of the activations, and so of the keys and values it hands out."""

    def __init__(self, config: ModelConfig, weights: Weights, dtype: torch.dtype) -> None:
        self.config = config
        self.weights = weights
        self.dtype = dtype
        self._ropes = [Rope(rope, config.head_dim) for rope in config.ropes]
        self._shapes = [BlockShape.of_layer(config, layer, dtype) for layer in range(config.layers)]

    @property
    def size_bytes(self) -> int:
        return self.weights.size_bytes

    @torch.inference_mode()
    def forward(self, batch: Batch, kv: Sequence[LayerKV], comm: Comm) -> Tensor:
        """Float32 logits [R, vocab] of ``batch.logit_rows``; ``kv[i]`` is layer i's."""
        x = self.weights.embedding(batch.tokens)
        rotations = [rope.rotation(batch, self.dtype) for rope in self._ropes]
        step = Step(batch, comm)
        for layer, (shape, rope) in enumerate(
            zip(self._shapes, self.config.layer_ropes, strict=True)
        ):
            with self.weights.layer(layer) as weights:
                x = block(x, weights, kv[layer], step, rotations[rope], shape)
        normed = self.weights.norm(x.index_select(0, batch.logit_rows))
        return self.weights.head(normed.to(self.dtype)).float()


def load_model(
    path: Path, precision: Precision = "auto", threads: int = 0, *, packed_copy: bool = False
) -> Model:
    """Read a GGUF file or a Hugging Face folder into memory.

    ``precision`` and ``threads`` as in ``EngineConfig`` ("auto" and 0 are resolved for this
    machine); the process computes with ``threads`` threads from then on. Raises
    ``CheckpointInvalid`` and ``UnsupportedModel``.
    """
    chosen = EngineConfig(precision=precision, threads=threads, packed_copy=packed_copy).resolve()
    checkpoint = open_checkpoint(path)
    # Layers are loaded side by side; threads within an operation would wait for each other.
    torch.set_num_threads(1)
    try:
        weights = load_weights(
            checkpoint, chosen.precision, chosen.threads, copy=chosen.packed_copy
        )
    finally:
        torch.set_num_threads(chosen.threads)
    return Model(checkpoint.config, weights, activation_dtype(chosen.precision))
