"""Weights, keys and values that pass through a card, beside a model that stays on it.

    PYTHONPATH=src:bench python bench/stream_card.py     # on a machine with a graphics card

The source article's shape by default, random bf16 weights made there, 32 prompts. ``resident``:
all on the card, the batch in one piece; ``pieces``: the same, but ``PIECE_ROWS`` rows at a time
through each layer; ``weights``: the layers pass through ``SLOTS`` slots, in pieces; ``weights+kv``:
keys and values are written out layer by layer, too. ``peak_bytes`` is the allocator's in the
first-token stage, ``budget_bytes`` what the process may take at most where something passes
through: the sum of the parts, beyond which the allocator refuses.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapes
import torch
from ranks import PAGE, make_batch
from table import Row, report
from torch import Tensor

from banyan.engine import stored
from banyan.engine.batch import Batch, OneRank
from banyan.engine.config import ModelConfig
from banyan.engine.feed_forward import GatedFfn
from banyan.engine.huggingface import read_config
from banyan.engine.kv import CacheSize, PagedKV
from banyan.engine.linear import Dense
from banyan.engine.model import Model
from banyan.engine.norm import RmsNorm
from banyan.engine.stream.card import CardCarrier
from banyan.engine.stream.form import put_together, take_apart
from banyan.engine.stream.kv import StreamedKV
from banyan.engine.stream.lanes import Lanes
from banyan.engine.stream.pinned import KeptLayers, host_memory
from banyan.engine.stream.window import Window
from banyan.engine.weights import Embedding, Head, LayerWeights, ResidentWeights

MODES = ["resident", "pieces", "weights", "weights+kv"]
PROMPTS = [128, 512, 1024, 2048]
BATCH = 32
PIECE_ROWS = 4096
SLOTS = 2
RUNS, DECODES = 5, 8
DTYPE = torch.bfloat16
COPY_BYTES = 1 << 30
LONGEST_S = 90.0
"""A row that takes longer says where it stands, and ends."""
SLACK_BYTES = 600 << 20
"""What the card's libraries take beside the parts: workspaces, and what the allocator rounds up."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="not used here")
    parser.add_argument("--data", type=Path, help="not used here")
    parser.add_argument("--full", action="store_true", help="more runs")
    parser.add_argument("--shape", default=shapes.ARTICLE.name, choices=list(shapes.SHAPES))
    parser.add_argument("--prompts", default=",".join(map(str, PROMPTS)))
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--mode", default="", help="measure this one here and print its rows")
    parser.add_argument("--device", default="cuda:0")
    options = parser.parse_args()
    if options.mode:
        prompts = [int(text) for text in options.prompts.split(",")]
        runs = RUNS * (3 if options.full else 1)
        card = Card(shapes.SHAPES[options.shape], torch.device(options.device), options.mode)
        for prompt in prompts:
            faulthandler.dump_traceback_later(LONGEST_S, exit=True)
            print(json.dumps(card.row(prompt, options.batch, runs)), flush=True)
        return
    rows = []
    for mode in options.modes.split(","):
        command = [sys.executable, __file__, *sys.argv[1:], "--mode", mode]
        environment = {**os.environ, "PYTORCH_ALLOC_CONF": "expandable_segments:True"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            for line in process.stdout or ():
                rows.append(json.loads(line))
                print(line.decode().strip(), flush=True)
        if process.returncode:
            print(f"{mode} ended early ({process.returncode}); its messages are above.", flush=True)
    report("stream-card", rows)
    _summary(rows)


@dataclass(frozen=True)
class Passing:
    """``Weights`` whose layers pass through."""

    embedding: Embedding
    head: Head
    window: Window[LayerWeights]
    size_bytes: int

    def layer(self, index: int) -> Any:
        return self.window.layer(index)


class Card:
    """A model on one card in one mode."""

    def __init__(self, shape: shapes.Shape, device: torch.device, mode: str) -> None:
        self.shape, self.device, self.mode = shape, device, mode
        self.config = _config(shape)
        self.lanes = Lanes.of(device)
        self.copy_bytes_per_s = _copy_bandwidth(device)
        self.carrier: CardCarrier | None = None
        self.layer_bytes = 0
        embedding, head = _ends(self.config, device)
        layers = (_layer(self.config, index, device) for index in range(shape.layers))
        if mode in ("resident", "pieces"):
            weights: Any = ResidentWeights(embedding, list(layers), head)
        else:
            weights = self._passing(embedding, head, layers)
        rows = 0 if mode == "resident" else PIECE_ROWS
        self.model = Model(self.config, weights, DTYPE, device=device, piece_rows=rows)

    def row(self, prompt: int, count: int, runs: int) -> Row:
        """Measure ``count`` prompts of that length, and steps that follow them."""
        torch.cuda.set_per_process_memory_fraction(1.0, self.device)
        torch.cuda.empty_cache()
        pages = count * -(-(prompt + 1) // PAGE)
        kv = self._kv(pages)
        budget = self._budget(kv, prompt * count) if self.carrier is not None else None
        if budget is not None:
            total = torch.cuda.get_device_properties(self.device).total_memory
            torch.cuda.set_per_process_memory_fraction(budget / total, self.device)
        first, after = make_batch(prompt, count, 0), make_batch(1, count, prompt)
        self._timed(first, kv)
        logits = self._timed(first, kv)[1]
        torch.cuda.reset_peak_memory_stats(self.device)
        firsts = [self._quiet(first, kv) for _ in range(runs)]
        peak = torch.cuda.max_memory_allocated(self.device)
        self._timed(after, kv)
        moved = self._moved(kv)
        began = time.perf_counter()
        decodes = [self._timed(after, kv)[0] for _ in range(DECODES)]
        rate = (self._moved(kv) - moved) / (time.perf_counter() - began)
        return {
            "device": torch.cuda.get_device_name(self.device),
            "model": self.shape.name,
            "batch": count,
            "prompt": prompt,
            "mode": self.mode,
            "budget_bytes": budget,
            "peak_bytes": peak,
            "bytes_per_s": rate if self.carrier is not None else None,
            "copy_bytes_per_s": self.copy_bytes_per_s,
            "ttft_s": statistics.median(firsts),
            "decode_tokens_per_s": count / statistics.median(decodes),
            "logits": logits,
        }

    def _moved(self, kv: PagedKV | StreamedKV) -> int:
        brought = kv.brought_bytes if isinstance(kv, StreamedKV) else 0
        return brought + (self.carrier.moved_bytes if self.carrier is not None else 0)

    def _quiet(self, batch: Batch, kv: PagedKV | StreamedKV) -> float:
        """Seconds of a step while nothing else goes on: the next layers have arrived."""
        torch.cuda.synchronize(self.device)
        seconds = self._timed(batch, kv)[0]
        torch.cuda.synchronize(self.device)
        return seconds

    def _timed(self, batch: Batch, kv: PagedKV | StreamedKV) -> tuple[float, str]:
        """Seconds of a step until its logits are on the host, and what these are. Copies for the
        next one may be on their way."""
        began = time.perf_counter()
        logits = self.model.forward(batch, kv.layers, OneRank())
        seconds = time.perf_counter() - began
        return seconds, hashlib.sha256(logits.numpy().tobytes()).hexdigest()[:12]

    def _kv(self, pages: int) -> PagedKV | StreamedKV:
        size = CacheSize(
            layers=self.config.layers,
            kv_heads=self.config.kv_heads,
            head_dim=self.config.head_dim,
            pages=pages,
            page_size=PAGE,
            dtype=DTYPE,
            device=self.device,
        )
        if "kv" in self.mode:
            return StreamedKV(size, lanes=Lanes.of(self.device))
        return PagedKV(size)

    def _passing(self, embedding: Embedding, head: Head, layers: Any) -> Passing:
        runs, descriptions = [], []
        for layer in layers:
            form = take_apart(layer)
            run = host_memory(form.size_bytes, self.device).data
            form.copy_into(run)
            runs.append(run)
            descriptions.append(form.description)
        self.layer_bytes = max(map(len, runs))
        self.carrier = CardCarrier(
            KeptLayers(dict(enumerate(runs))),
            lambda index, run: put_together(descriptions[index], run),
            slot_bytes=self.layer_bytes,
            slots=SLOTS,
            device=self.device,
            lanes=self.lanes,
        )
        window: Window[LayerWeights] = Window(range(len(runs)), self.carrier)
        return Passing(embedding, head, window, sum(map(len, runs)))

    def _budget(self, kv: PagedKV | StreamedKV, rows: int) -> int:
        """The parts that are on the card at once; activations: the stream of the whole batch, and
        what a piece of it needs."""
        on_card = kv.near_bytes if isinstance(kv, StreamedKV) else kv.size_bytes
        head = self.model.weights.head.size_bytes if self.model.weights.head is not None else 0
        config, piece = self.config, min(rows, PIECE_ROWS)
        stream = rows * config.hidden * 4
        widest = piece * (3 * config.ffn + 6 * config.hidden) * DTYPE.itemsize
        gathered = 6 * kv.size_bytes // config.layers  # decoding: as they lie, and in float32
        beside = max(stream + widest, gathered)
        return SLOTS * self.layer_bytes + head + on_card + beside + SLACK_BYTES


def _config(shape: shapes.Shape) -> ModelConfig:
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(shapes.settings(shape))
        (Path(folder) / "config.json").write_text(text)
        return read_config(Path(folder), most_layers=shape.layers)


def _ends(config: ModelConfig, device: torch.device) -> tuple[Embedding, Head]:
    table = torch.randn(config.vocab, config.hidden, generator=torch.Generator().manual_seed(0))
    raw = table.to(DTYPE).view(torch.uint8).numpy().reshape(-1)
    entry = stored.stored("embedding", stored.BF16, (config.vocab, config.hidden), raw)
    generator = torch.Generator(device).manual_seed(1)
    matrix = _matrix(config.vocab, config.hidden, generator)
    norm = RmsNorm.of(torch.ones(config.hidden, device=device), config.norm_eps)
    return Embedding(entry, 1.0), Head(norm, matrix)


def _layer(config: ModelConfig, index: int, device: torch.device) -> LayerWeights:
    generator = torch.Generator(device).manual_seed(2 + index)
    q, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
    norm = RmsNorm.of(torch.ones(config.hidden, device=device), config.norm_eps)
    return LayerWeights(
        qkv=_matrix(q + 2 * kv, config.hidden, generator),
        output=_matrix(config.hidden, q, generator),
        ffn=GatedFfn(
            _matrix(2 * config.ffn, config.hidden, generator),
            _matrix(config.hidden, config.ffn, generator),
            config.activation,
        ),
        attention_norm=norm,
        ffn_norm=norm,
    )


def _matrix(rows: int, columns: int, generator: torch.Generator) -> Dense:
    numbers = torch.randn(rows, columns, generator=generator, device=generator.device, dtype=DTYPE)
    return Dense(numbers.mul_(columns**-0.5))


def _copy_bandwidth(device: torch.device) -> float:
    """Bytes per second of large copies from pinned memory to the card, nothing else going on."""
    source = host_memory(COPY_BYTES, device).data
    target = torch.empty(COPY_BYTES, dtype=torch.uint8, device=device)

    def timed() -> float:
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        _copy(target, source)
        torch.cuda.synchronize(device)
        return time.perf_counter() - began

    timed()
    return COPY_BYTES / statistics.median(timed() for _ in range(RUNS))


def _copy(target: Tensor, source: Tensor) -> None:
    target.copy_(source, non_blocking=True)


def _summary(rows: Sequence[Row]) -> None:
    """Peak and first token of each mode against the resident model's."""
    by_cell = {(row["prompt"], row["mode"]): row for row in rows}
    for (prompt, mode), row in by_cell.items():
        whole = by_cell.get((prompt, "resident"))
        if whole is not None and mode != "resident":
            peak = float(str(row["peak_bytes"])) / float(str(whole["peak_bytes"])) - 1
            first = float(str(row["ttft_s"])) / float(str(whole["ttft_s"])) - 1
            print(f"prompt {prompt}, {mode}: peak {peak:+.0%}, first token {first:+.0%}")
    for prompt in sorted({int(str(row["prompt"])) for row in rows}):
        here = [row for row in rows if row["prompt"] == prompt and row["mode"] != "resident"]
        pieces = {row["logits"] for row in here}
        print(f"prompt {prompt}: logits in pieces, resident or not, {_alike(len(pieces))}")


def _alike(count: int) -> str:
    return "are the same to the bit" if count <= 1 else f"differ in {count} ways"


if __name__ == "__main__":
    main()
