"""The article's figures 4 and 5, redrawn from the rows of ``testbed.py``.

    python bench/testbed_figures.py     # from results/testbed.json

The article prints ranges, no table: its results appear as a band below our own star.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

Row = dict[str, Any]

TTFT_CUT = (0.34, 0.61)
"""Of the first token's time, by the article's tree against its star."""


def draw(rows: Sequence[Row], folder: Path) -> Iterator[Path]:
    """Three pictures a link and batch: first token, tokens per second, peak memory."""
    for link, batch in sorted({(row["link_gbit_s"], row["batch"]) for row in rows}):
        cell = [row for row in rows if (row["link_gbit_s"], row["batch"]) == (link, batch)]
        for column, title, star_band in (
            ("ttft_s", "seconds to the first token", True),
            ("prompt_tokens_per_s", "prompt tokens per second", False),
            ("peak_bytes", "peak bytes of a rank", False),
        ):
            name = (
                f"testbed-{column.removesuffix('_s').replace('_', '-')}-{link:g}gbit-b{batch}.png"
            )
            yield _figure(cell, column, title, folder / name, star_band=star_band)


def _figure(rows: Sequence[Row], column: str, title: str, target: Path, *, star_band: bool) -> Path:
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for label in dict.fromkeys(_label(row) for row in rows):
        points = sorted((row["prompt"], row[column]) for row in rows if _label(row) == label)
        axes.plot(*zip(*points, strict=True), marker="o", label=label)
    star = sorted((row["prompt"], row["ttft_s"]) for row in rows if row["algorithm"] == "star")
    if star_band and star:
        prompts = [prompt for prompt, _ in star]
        low, high = ([seconds * (1 - cut) for _, seconds in star] for cut in TTFT_CUT[::-1])
        axes.fill_between(prompts, low, high, alpha=0.15, label="the article's tree, of our star")
    axes.set_xlabel("prompt tokens")
    axes.set_ylabel(title)
    axes.set_yscale("log" if column == "ttft_s" else "linear")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(target, dpi=150)
    pyplot.close(figure)
    return target


def _label(row: Row) -> str:
    streamed = ", streamed" if row["streaming"] else ""
    return f"{row['algorithm']}, {row['layout']}{streamed}"


if __name__ == "__main__":
    results = Path("results")
    for picture in draw(json.loads((results / "testbed.json").read_text()), results):
        print(picture)
