"""How quickly documents become searchable, with the embedding and without it.

    make bench-ingest

The set ``documents`` is the files under the data folder (PDF, DOCX, ...), ``generated`` is Markdown
files of about a page each, written from a seed in both languages. Without embedding the time is
reading, cutting, indexing and committing.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from table import Row, report

from banyan.core.context import Context
from banyan.core.events import DocumentAdded
from banyan.core.ports import Embedder
from banyan.knowledge.embed import Embedders, Multilingual
from banyan.knowledge.library import Library
from banyan.knowledge.parse.limits import ParseLimits

PAGES = 10_000
FILES_A_FOLDER = 500
_CHINESE = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方"
    "后多定行学法所民得经"
)


class NoEmbedding:
    """Vectors of one zero: what is left is everything but the embedding."""

    name = "none"
    dimensions = 1

    def embed(self, texts: Sequence[str], context: Context) -> np.ndarray:
        context.check()
        return np.zeros((len(texts), 1), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="not used here")
    parser.add_argument("--data", type=Path, help="folder that holds documents/")
    parser.add_argument("--pages", type=int, default=PAGES, help="generated pages")
    parser.add_argument("--full", action="store_true", help="no difference here")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pages(folder / "generated", options.pages)
        sets = [("generated", folder / "generated")]
        if options.data is not None and (options.data / "documents").is_dir():
            sets.insert(0, ("documents", options.data / "documents"))
        else:
            sys.stderr.write("no documents/ in the data folder: the set `documents` is left out\n")
        report("ingest", list(_rows(sets, folder)))


def _rows(sets: Sequence[tuple[str, Path]], folder: Path) -> Iterator[Row]:
    multilingual = Multilingual()
    multilingual.load()
    for embedder in (NoEmbedding(), multilingual):
        for name, source in sets:
            yield _measure(name, source, embedder, folder / f"{name}-{embedder.name}")


def _measure(name: str, source: Path, embedder: Embedder, folder: Path) -> Row:
    embedders = Embedders(multilingual=embedder)
    library = Library(folder, embedders=embedders, limits=ParseLimits())
    library.create_base(name, name, Context())
    started = time.perf_counter()
    for event in library.add([source], name, Context()):
        if isinstance(event, DocumentAdded) and sys.stderr.isatty():
            sys.stderr.write(f"\r{name} {embedder.name}: {event.path[-60:]:60}")
    seconds = time.perf_counter() - started
    records = library.documents(name, Context())
    chunks = sum(record.chunks for record in records)
    library.close()
    return {
        "set": name,
        "embedding": embedder.name,
        "files": len(records),
        "pages": sum(max(record.pages, 1) for record in records),
        "chunks": chunks,
        "seconds": round(seconds, 2),
        "chunks_per_s": round(chunks / seconds, 1),
        "store_bytes": sum(path.stat().st_size for path in folder.iterdir()),
    }


def write_pages(folder: Path, count: int, seed: int = 1) -> None:
    """Write ``count`` Markdown files of a page each; every fourth is Chinese."""
    rng = random.Random(seed)
    words = [_word(rng) for _ in range(20_000)]
    weights = np.cumsum(1.0 / np.arange(1, len(words) + 1)).tolist()  # Zipf's law
    for number in range(count):
        place = folder / f"{number // FILES_A_FOLDER:03}"
        place.mkdir(parents=True, exist_ok=True)
        if number % 4 == 3:
            text = _chinese_page(rng, number)
        else:
            text = _english_page(rng, number, words, weights)
        (place / f"{number:05}.md").write_text(text, encoding="utf-8")


def _word(rng: random.Random) -> str:
    return "".join(
        rng.choice("bcdfglmnprst") + rng.choice("aeiou") for _ in range(rng.randint(1, 4))
    )


def _english_page(
    rng: random.Random, number: int, words: Sequence[str], weights: Sequence[float]
) -> str:
    parts = [f"# Page {number}"]
    for section in range(2):
        parts.append(f"## Section {section} of {rng.choice(words)}")
        for _ in range(2):
            sentences = (
                " ".join(rng.choices(words, cum_weights=weights, k=rng.randint(8, 20)))
                for _ in range(5)
            )
            parts.append(" ".join(sentence.capitalize() + "." for sentence in sentences))
    return "\n\n".join(parts)


def _chinese_page(rng: random.Random, number: int) -> str:
    parts = [f"# 第{number}页"]
    for _ in range(3):
        sentences = ("".join(rng.choices(_CHINESE, k=rng.randint(12, 30))) for _ in range(6))
        parts.append("".join(sentence + "。" for sentence in sentences))
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
