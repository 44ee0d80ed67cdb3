"""Model: a decoder's forward pass over a ragged batch.

It knows nothing of sequences, sampling or text: tokens and positions in, logits out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from banyan.core.layout import Share
from banyan.engine.batch import Batch, Comm, LayerKV
from banyan.engine.block import BlockShape, Step, block
from banyan.engine.checkpoint import Checkpoint, open_checkpoint
from banyan.engine.config import EngineConfig, ModelConfig, Precision
from banyan.engine.cut import cut
from banyan.engine.linear import CPU
from banyan.engine.micro_batch import micro_batches
from banyan.engine.precision import resolved
from banyan.engine.rope import Rope
from banyan.engine.slice_file import SUFFIX, open_slice
from banyan.engine.stats import MemoryWatch
from banyan.engine.stream.loading import load_streamed
from banyan.engine.stream.streamed import StreamedWeights
from banyan.engine.weights import Weights, activation_dtype, load_weights
from banyan.plan.budget import KvWay


class Model:
    """A whole model, or one rank's share of one: then ``config`` is that of the share, ``vocab`` is
    the size of the whole vocabulary, and ``comm`` sums over the ranks of the stage.

    ``dtype`` is that of the activations, and so of the keys and values it hands out. A large batch
    goes through each layer in pieces of ``piece_rows`` (0: as one), one after the other while the
    layer is there: what is alive at a time is that of a piece.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        dtype: torch.dtype,
        *,
        vocab: int | None = None,
        device: torch.device = CPU,
        piece_rows: int = 0,
    ) -> None:
        self.config = config
        self.weights = weights
        self.dtype = dtype
        self.device = device
        self._piece_rows = piece_rows
        self._splits_vocabulary = vocab is not None and vocab != config.vocab
        self._ropes = [Rope(rope, config.head_dim) for rope in config.ropes]
        self._shapes = [BlockShape.of_layer(config, layer, dtype) for layer in range(config.layers)]

    @property
    def size_bytes(self) -> int:
        return self.weights.size_bytes

    @property
    def memory(self) -> MemoryWatch | None:
        """Of weights that are within a budget."""
        return self.weights if isinstance(self.weights, StreamedWeights) else None

    @property
    def kv_way(self) -> KvWay | None:
        """How keys and values are held within the budget; None without one."""
        if not isinstance(self.weights, StreamedWeights):
            return None
        return self.weights.fit.demand.way

    def close(self) -> None:
        """End whatever brings weights; nothing is computed any more."""
        self.weights.close()

    @torch.inference_mode()
    def forward(self, batch: Batch, kv: Sequence[LayerKV], comm: Comm) -> Tensor:
        """Float32 logits [R, vocab] of ``batch.logit_rows``; ``kv[i]`` is layer i's."""
        return self.logits(self.run_layers(self.embed(batch, comm), batch, kv, comm), batch)

    def embed(self, batch: Batch, comm: Comm) -> Tensor:
        """The first stage's start: tokens to float32 [T, hidden]."""
        if self.weights.embedding is None:
            raise RuntimeError("this stage has no embedding")
        x = self.weights.embedding(batch.tokens, self.device)
        if self._splits_vocabulary:
            x = comm.all_reduce(x.to(self.dtype)).float()
        return x

    def run_layers(self, x: Tensor, batch: Batch, kv: Sequence[LayerKV], comm: Comm) -> Tensor:
        """Float32 [T, hidden] through this stage's layers, in place."""
        rows = self._piece_rows or len(batch.tokens)
        steps = [Step(piece, comm) for piece in micro_batches(batch, rows)]
        rotations = [
            [rope.rotation(step.batch, self.dtype).to(self.device) for rope in self._ropes]
            for step in steps
        ]
        for layer, (shape, rope) in enumerate(
            zip(self._shapes, self.config.layer_ropes, strict=True)
        ):
            with self.weights.layer(layer) as weights:
                for part, step, rotation in zip(x.split(rows), steps, rotations, strict=True):
                    block(part, weights, kv[layer], step, rotation[rope], shape)
        return x

    def logits(self, x: Tensor, batch: Batch) -> Tensor:
        """The last stage's end: float32 logits [R, own vocabulary], on the CPU."""
        if self.weights.head is None:
            raise RuntimeError("this stage has no head")
        rows = x.index_select(0, batch.logit_rows.to(self.device))
        return self.weights.head.linear(self.weights.head.norm(rows, self.dtype)).float().cpu()


def load_model(
    path: Path,
    precision: Precision = "auto",
    threads: int = 0,
    *,
    packed_copy: bool = False,
    share: Share | None = None,
    vocab: int | None = None,
    device: str = "cpu",
) -> Model:
    """``load`` with everything else as ``EngineConfig`` has it."""
    config = EngineConfig(
        precision=precision, threads=threads, packed_copy=packed_copy, device=device
    )
    return load(path, config, share=share, vocab=vocab)


def load(
    path: Path, config: EngineConfig, *, share: Share | None = None, vocab: int | None = None
) -> Model:
    """Read a GGUF file or a Hugging Face folder into memory, or one rank's ``share`` of it.

    The share may also be a slice file; ``vocab`` is the size of the whole vocabulary. With
    ``config.device_memory`` only as many layers stay as fit, and the others are streamed.

    What is "auto" is resolved for this machine and the checkpoint; the process computes with
    ``config.threads`` threads from then on. Raises ``CheckpointInvalid``, ``UnsupportedModel``, and
    ``PlanImpossible`` where the model does not fit its budget.
    """
    checkpoint = _open(path, share)
    chosen = resolved(config, checkpoint)
    # Layers are loaded side by side; threads within an operation would wait for each other.
    torch.set_num_threads(1)
    try:
        weights = _weights(path, checkpoint, chosen, share)
    finally:
        torch.set_num_threads(chosen.threads)
    dtype = activation_dtype(chosen.precision)
    return Model(checkpoint.config, weights, dtype, vocab=vocab, device=torch.device(chosen.device))


def _weights(
    path: Path, checkpoint: Checkpoint, config: EngineConfig, share: Share | None
) -> Weights:
    if config.device_memory:
        return load_streamed(path, checkpoint, config, share)
    return load_weights(
        checkpoint,
        config.precision,
        config.threads,
        copy=config.packed_copy,
        share=share,
        device=torch.device(config.device),
    )


def _open(path: Path, share: Share | None) -> Checkpoint:
    if share is None:
        return open_checkpoint(path)
    if path.suffix == SUFFIX:
        return open_slice(path, share)
    return cut(open_checkpoint(path), share)
