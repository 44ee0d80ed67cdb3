"""One model over two hosts: first token and decoding, by collective and by layout.

    make bench-cluster

Two hosts are network namespaces at 1 Gbit/s with four ranks each, the ranks of a host pinned to one
core; the model is the 1.1B shape cut to 8 layers, random weights, bf16. The collectives take turns
on the same processes; ``ttft_vs_star`` is ours over star's. The pipeline (``pp2 x tp4``) is what
the planner picks for prefill. ``--cards 2`` puts one graphics card into each namespace instead,
with ``--ranks`` ranks sharing it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import netns
import shapes
from ranks import Ranks, alike, medians, running
from table import Row, report

from banyan.core.layout import Layout, LinkFacts, ModelShape, Workload
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.config import EngineConfig, available_cores
from banyan.engine.formation import Communication
from banyan.plan.collectives import ALGORITHMS
from banyan.plan.forecast import Forecast, forecast
from banyan.plan.shares import pipeline, tensor_parallel

Predict = Callable[[Layout, str, int, int], Forecast]
HOSTS = 2
LATENCY_S = 5e-5
PROMPTS = [128, 512, 1024, 2048]
BATCHES = [1, 8]
WAYS = {
    "star": Communication(algorithm="star"),
    "tree": Communication(algorithm="tree"),
    "exchange": Communication(algorithm="exchange"),
    "auto": Communication(algorithm="auto"),
    "auto+int8": Communication(algorithm="auto", payload="int8"),
}
DECODES = 6
MOST_TOKENS = 4096
"""Tokens of all prompts of a cell, except with FULL=1: star takes half a minute for these."""


@dataclass(frozen=True)
class Grid:
    """What is measured on which machine."""

    shape: shapes.Shape
    hosts: int
    ranks: int
    prompts: Sequence[int]
    batches: Sequence[int]
    ways: Sequence[str]
    cards: int
    runs: int
    bandwidth_bit_s: float
    most_tokens: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="not used here")
    parser.add_argument("--data", type=Path, help="not used here")
    parser.add_argument("--full", action="store_true", help="more runs")
    parser.add_argument("--shape", default=shapes.B1_SHORT.name, choices=list(shapes.SHAPES))
    parser.add_argument("--ranks", type=int, default=4, help="ranks per host")
    parser.add_argument("--cards", type=int, default=0, help="graphics cards, one per host")
    parser.add_argument("--one-host", action="store_true", help="all cards in one host (NCCL)")
    parser.add_argument("--ways", default=",".join(WAYS), help="collectives, of those above")
    parser.add_argument("--prompts", default=",".join(map(str, PROMPTS)))
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)))
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--gbit-s", type=float, default=1.0, help="bandwidth between hosts")
    parser.add_argument("--name", default="cluster", help="results/NAME.json")
    options = parser.parse_args()
    if not netns.available():
        raise SystemExit("bench-cluster needs root and iproute2 (network namespaces).")
    hosts = 1 if options.one_host else HOSTS
    grid = Grid(
        hosts=hosts,
        shape=shapes.SHAPES[options.shape],
        ranks=options.cards if options.one_host else options.ranks,
        prompts=[int(text) for text in options.prompts.split(",")],
        batches=[int(text) for text in options.batches.split(",")],
        ways=options.ways.split(","),
        cards=options.cards,
        runs=options.runs * (3 if options.full else 1),
        bandwidth_bit_s=options.gbit_s * 1e9,
        most_tokens=1 << 20 if options.full else MOST_TOKENS,
    )
    report(options.name, measure(grid))


def measure(grid: Grid) -> list[Row]:
    """Every cell on tensor parallel with each collective, then on the pipeline."""
    path = shapes.folder(grid.shape).resolve()
    model = open_checkpoint(path).config.shape
    tensor = tensor_parallel(model, [1.0] * grid.hosts * grid.ranks)
    piped = pipeline(model, [[1.0] * grid.ranks] * grid.hosts)
    rows: list[Row] = []
    stars: dict[tuple[int, int], float] = {}
    with netns.hosts(grid.hosts, bandwidth_bit_s=grid.bandwidth_bit_s) as hosts:
        layouts = [(tensor, {way: WAYS[way] for way in grid.ways}), (piped, {"auto": WAYS["auto"]})]
        if grid.hosts == 1:
            layouts = [(tensor, {"nccl": WAYS["exchange"]})]
        for layout, ways in layouts:
            with _started(hosts, grid, layout, path, list(ways.values())) as ranks:
                predict = _predictor(ranks, grid, model)
                rows += _rows(ranks, grid, layout, list(ways), stars, predict)
    return rows


def _started(hosts, grid: Grid, layout: Layout, path: Path, ways):  # type: ignore[no-untyped-def]  # a context manager of ``running``
    most = min(grid.most_tokens, max(grid.prompts) * max(grid.batches))
    most = max(most, max(grid.prompts) + 1)
    cache = most * grid.shape.layers * 2 * grid.shape.hidden * 2 * 2
    return running(
        hosts,
        grid.ranks,
        layout,
        path,
        EngineConfig(
            precision="bf16",
            threads=_threads(grid),
            kv_cache_bytes=max(cache, 64 << 20),
            max_batch_tokens=most,
            max_sequences=max(grid.batches) + 1,
        ),
        ways=ways,
        cpus=(lambda host: ()) if grid.cards else (lambda host: (host,)),
        device=lambda host, place: _device(grid, host, place),
    )


def _threads(grid: Grid) -> int:
    """Hosts of cards share this machine's cores; others have one each."""
    return max(1, available_cores() // (grid.hosts * grid.ranks)) if grid.cards else 1


def _device(grid: Grid, host: int, place: int) -> str:
    if not grid.cards:
        return "cpu"
    return f"cuda:{place if grid.hosts == 1 else host}"


def _predictor(ranks: Ranks, grid: Grid, model: ModelShape) -> Predict:
    """The cost model's times, from what rank 0 measured of its device and the link's setting.

    All ranks measure at the same moment, so that those who share a core each see their part of it.
    """
    link = LinkFacts(latency_s=LATENCY_S, bandwidth=grid.bandwidth_bit_s / 8)
    facts = alike(ranks.facts, grid.hosts, grid.ranks, link)

    def predict(layout: Layout, way: str, prompt: int, batch: int) -> Forecast:
        algorithm = way if way in ALGORITHMS else "auto"
        workload = Workload(prompt=prompt, generate=0, concurrency=batch)
        return forecast(model, "bf16", layout, facts, workload, algorithm=algorithm)

    return predict


def _rows(
    ranks: Ranks,
    grid: Grid,
    layout: Layout,
    names: Sequence[str],
    stars: dict[tuple[int, int], float],
    predict: Predict,
) -> list[Row]:
    rows: list[Row] = []
    for way in range(len(names)):
        for prompt in (min(grid.prompts), 1):  # memory and kernels are touched for the first time
            ranks.step(way=way, prompt=prompt, batch=1)
    cells = [(batch, prompt) for batch in grid.batches for prompt in grid.prompts]
    for batch, prompt in cells:
        if prompt * batch <= grid.most_tokens:
            for new, context in ((prompt, 0), (1, prompt)):  # kernels of this size are loaded
                ranks.step(way=len(names) - 1, prompt=new, batch=batch, context=context)
            ways = {name: way for way, name in enumerate(names)}
            first = medians(ranks, ways, prompt=prompt, batch=batch, runs=grid.runs)
            decode = medians(ranks, ways, prompt=1, batch=batch, runs=DECODES, context=prompt)
            stars.setdefault((prompt, batch), first.get("star", first[names[0]]))
            for name in names:
                predicted = predict(layout, name, prompt, batch)
                rows.append(
                    {
                        "prompt": prompt,
                        "batch": batch,
                        "algorithm": name,
                        "layout": layout.name,
                        "ttft_s": first[name],
                        "prompt_tokens_per_s": prompt * batch / first[name],
                        "decode_tokens_per_s": batch / decode[name],
                        "ttft_vs_star": first[name] / stars[prompt, batch],
                        "predicted_ttft_s": predicted.prefill_s,
                        "predicted_decode_tokens_per_s": batch / predicted.decode_s,
                    }
                )
                print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    main()
