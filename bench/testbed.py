"""The source article's test bed: two hosts of graphics cards, a slow link between, a 3.4B model.

    make bench-testbed

All cards of this machine are split between two network namespaces. The article's shape (26 layers,
3,200 wide, 32 heads, vocabulary 32,000; random weights, bf16 where the article has fp16) answers
prompts with the article's star and tree, which see nothing but ranks, with ``auto``, which sums
over NCCL inside a host, and in the layout that the planner picks. Cells whose bytes alone would
take longer than ``--longest`` seconds on the wire are named and left out. Beside the rows in
``results/testbed.json`` it draws the article's figures. ``--dry-run`` goes the same way with tiny
ranks on processors.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import netns
import shapes
import torch
from ranks import Ranks, alike, medians, running
from table import Row, report

from banyan.core.layout import Facts, Layout, LinkFacts, ModelShape, Workload
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.config import EngineConfig, available_cores
from banyan.engine.formation import Communication
from banyan.plan.forecast import forecast
from banyan.plan.planner import choose_layout
from banyan.plan.shares import tensor_parallel

HOSTS = 2
LINKS_GBIT_S = (1.0, 10.0, 25.0)
PROMPTS = (128, 256, 512, 1024, 2048)
BATCHES = (1, 32)
RUNS = 3
DECODES = 8
LONGEST_S = 15.0
LATENCY_S = 5e-5
ITEM_BYTES = 2


@dataclass(frozen=True)
class Bed:
    """The machine as it is split: ``per_host`` cards, or processes on a processor, in each host."""

    shape: shapes.Shape
    per_host: int
    is_dry: bool
    cells: Sequence[tuple[int, int]]
    longest_s: float

    @property
    def ranks(self) -> int:
        return HOSTS * self.per_host


@dataclass(frozen=True)
class Way:
    """A group of ranks and the collectives that take turns in it. ``sees_cards``: whether a rank
    may know that its host's other ranks have cards of their own, and sum over NCCL."""

    layout: Layout
    algorithms: tuple[str, ...]
    sees_cards: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="not used here")
    parser.add_argument("--data", type=Path, help="not used here")
    parser.add_argument("--full", action="store_true", help="also cells that take minutes")
    parser.add_argument("--longest", type=float, default=LONGEST_S, help="seconds on the wire")
    parser.add_argument("--gbit-s", type=_numbers, default=LINKS_GBIT_S)
    parser.add_argument("--prompts", type=_numbers, default=PROMPTS)
    parser.add_argument("--batches", type=_numbers, default=BATCHES)
    parser.add_argument("--dry-run", action="store_true", help="tiny ranks on processors")
    options = parser.parse_args()
    if not netns.available():
        raise SystemExit("bench-testbed needs root and iproute2 (network namespaces).")
    cards = 2 * HOSTS if options.dry_run else torch.cuda.device_count()
    if cards < HOSTS:
        raise SystemExit(
            f"bench-testbed needs two graphics cards or more; here are {cards}."
            " --dry-run goes the same way on processors."
        )
    bed = Bed(
        shape=shapes.TINY if options.dry_run else shapes.ARTICLE,
        per_host=cards // HOSTS,
        is_dry=options.dry_run,
        cells=[
            (int(batch), int(prompt)) for batch in options.batches for prompt in options.prompts
        ],
        longest_s=options.longest * (40 if options.full else 1),
    )
    rows = [row for gbit_s in options.gbit_s for row in measure(bed, gbit_s)]
    report("testbed", rows)
    try:
        from testbed_figures import draw
    except ImportError:
        print("No pictures without matplotlib; `python bench/testbed_figures.py` draws them later.")
        return
    for picture in draw(rows, Path("results")):
        print(picture)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def measure(bed: Bed, gbit_s: float) -> list[Row]:
    """Every cell by every way over one link; the planner picks from what ranks measured."""
    path = shapes.folder(bed.shape).resolve()
    model = open_checkpoint(path).config.shape
    everything = tensor_parallel(model, [1.0] * bed.ranks)
    ways = [
        Way(layout=everything, algorithms=("star", "tree"), sees_cards=False),
        Way(layout=everything, algorithms=("auto",), sees_cards=True),
    ]
    link = LinkFacts(latency_s=LATENCY_S, bandwidth=gbit_s * 1e9 / 8)
    rows: list[Row] = []
    with netns.hosts(HOSTS, bandwidth_bit_s=gbit_s * 1e9) as hosts:
        while ways:
            way = ways.pop(0)
            with _started(bed, hosts, way, path) as ranks:
                facts = alike(ranks.facts, HOSTS, bed.per_host, link)
                for row in _rows(bed, ranks, way, model, facts, gbit_s):
                    print(row, flush=True)
                    rows.append(row)
            if not ways and way.layout == everything:
                planned = _planned(bed, model, facts)
                ways = [Way(planned, ("auto",), sees_cards=True)] if planned != everything else []
    return with_star(rows)


def _planned(bed: Bed, model: ModelShape, facts: Facts) -> Layout:
    batch, prompt = max(bed.cells)
    workload = Workload(prompt=prompt, generate=1, concurrency=batch, objective="ttft")
    return choose_layout(model, "bf16", facts, workload)


def _started(
    bed: Bed, hosts: Sequence[netns.Host], way: Way, path: Path
) -> contextlib.AbstractContextManager[Ranks]:
    batch, prompt = max(batch for batch, _ in bed.cells), max(prompt for _, prompt in bed.cells)
    head_dim = bed.shape.hidden // bed.shape.heads
    token = 2 * head_dim * bed.shape.kv_heads * bed.shape.layers * ITEM_BYTES
    config = EngineConfig(
        precision="bf16",
        threads=1 if bed.is_dry else max(1, available_cores() // bed.ranks),
        kv_cache_bytes=max(64 << 20, batch * (prompt + 32) * token),
        max_batch_tokens=batch * prompt,
        max_sequences=batch,
    )

    def card(host: int, place: int) -> int:
        return host * bed.per_host + place

    def device(host: int, place: int) -> str:
        if bed.is_dry:
            return "cpu"
        return f"cuda:{card(host, place) if way.sees_cards else 0}"

    return running(
        hosts,
        bed.per_host,
        way.layout,
        path,
        config,
        ways=[Communication(algorithm=name) for name in way.algorithms],
        device=device,
        only_card=None if bed.is_dry or way.sees_cards else card,
    )


def _rows(
    bed: Bed, ranks: Ranks, way: Way, model: ModelShape, facts: Facts, gbit_s: float
) -> Iterator[Row]:
    for batch, prompt in bed.cells:
        timed = _short_enough(bed, way, batch * prompt, gbit_s)
        if not timed:
            continue
        ranks.step(way=max(timed.values()), prompt=prompt, batch=batch)  # kernels are loaded
        first = medians(ranks, timed, prompt=prompt, batch=batch, runs=RUNS)
        peak = ranks.peak_bytes
        decode = medians(ranks, timed, prompt=1, batch=batch, runs=DECODES, context=prompt)
        workload = Workload(prompt=prompt, generate=0, concurrency=batch)
        for name in timed:
            predicted = forecast(model, "bf16", way.layout, facts, workload, algorithm=name)
            yield {
                "gpus": 0 if bed.is_dry else bed.ranks,
                "link_gbit_s": gbit_s,
                "prompt": prompt,
                "batch": batch,
                "algorithm": name,
                "layout": way.layout.name,
                "streaming": False,
                "ttft_s": first[name],
                "prompt_tokens_per_s": prompt * batch / first[name],
                "decode_tokens_per_s": batch / decode[name],
                "peak_bytes": peak,
                "predicted_ttft_s": predicted.prefill_s,
            }


def _short_enough(bed: Bed, way: Way, tokens: int, gbit_s: float) -> dict[str, int]:
    """The algorithms whose bytes are soon through, with their numbers; others are named and left
    out."""
    found = {}
    for number, name in enumerate(way.algorithms):
        expected_s = wire_seconds(bed, way.layout, name, tokens, gbit_s)
        if expected_s <= bed.longest_s:
            found[name] = number
        else:
            print(f"left out: {name}, {tokens} tokens: {expected_s:.0f} s on the wire alone")
    return found


def wire_seconds(bed: Bed, layout: Layout, algorithm: str, tokens: int, gbit_s: float) -> float:
    """What a prefill's bytes take on the slow link alone: a star's server takes and gives a message
    for every rank of the other host, a tree one each way, an exchange both ways at once."""
    message_s = tokens * bed.shape.hidden * ITEM_BYTES * 8 / (gbit_s * 1e9)
    if len(layout.stages) > 1:
        return message_s * (len(layout.stages) - 1)
    times = {"star": 2 * bed.per_host, "tree": 2}.get(algorithm, 1)
    return times * (2 * bed.shape.layers + 1) * message_s


def with_star(rows: Sequence[Row]) -> list[Row]:
    """Each row with its ratio to the star of its cell, where that was measured."""
    stars = {
        (row["prompt"], row["batch"]): row["ttft_s"] for row in rows if row["algorithm"] == "star"
    }

    def ratio(row: Row) -> float | None:
        star, ours = stars.get((row["prompt"], row["batch"])), row["ttft_s"]
        return ours / star if isinstance(star, float) and isinstance(ours, float) else None

    return [{**row, "ttft_vs_star": ratio(row)} for row in rows]


if __name__ == "__main__":
    main()
