"""Perplexity of WikiText-2 under each precision: is what the engine computes what the model knows?

    make bench-perplexity DATA=folder      (reads DATA/engine/wiki.test.tokens.txt)

The text is roughly detokenised (the corpus comes cut into words), ``<unk>`` read as "unk", and cut
into windows that do not see each other. Plain ``transformers`` in fp32 gives 22.740 for the
packaged model on the same 4,096 tokens in windows of 1,024. ``kv`` is in what keys and values are
kept: reference means not at all, as the reference computes; int8 is read back from its pages.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from table import Row, report

from banyan.engine import reference
from banyan.engine.batch import Batch, OneRank, Span
from banyan.engine.config import Precision
from banyan.engine.kv import CacheSize, PagedKV
from banyan.engine.model import Model, load_model
from banyan.engine.tokenizer import Tokenizer

TEXT = Path("engine") / "wiki.test.tokens.txt"
MODEL = Path("models") / "smollm2-135m-instruct"
WINDOW = 1024
PAGE = 16
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "packed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".models"), help="home with models")
    parser.add_argument("--data", type=Path, required=True, help="folder of public data sets")
    parser.add_argument("--model", type=Path, help="another checkpoint than the packaged one")
    parser.add_argument("--threads", type=int, default=0, help="0: every core")
    parser.add_argument("--full", action="store_true", help="65,536 tokens instead of 4,096")
    options = parser.parse_args()
    path = options.model or options.home / MODEL
    text = options.data / TEXT
    if not text.is_file():
        sys.exit(f"There is no {text}: name the folder that holds it with DATA=...")
    tokenizer = Tokenizer.load(path)
    ids = tokenizer.encode(detokenised(text.read_text(encoding="utf-8")), special=False)
    ids = ids[: 65_536 if options.full else 4_096]
    report("perplexity", list(_rows(path, tokenizer, ids, options.threads)))


def _rows(path: Path, tokenizer: Tokenizer, ids: list[int], threads: int) -> Iterator[Row]:
    for precision in PRECISIONS:
        model = load_model(path, precision, threads)
        for kept, logprobs in (("reference", reference.logprobs), ("int8", int8_logprobs)):
            started = time.perf_counter()
            value = perplexity(model, ids, tokenizer.bos_ids, logprobs)
            yield {
                "model": path.name,
                "precision": precision,
                "kv": kept,
                "tokens": len(ids),
                "perplexity": round(value, 3),
                "weights_mb": round(model.size_bytes / 1e6, 1),
                "seconds": round(time.perf_counter() - started, 1),
            }


def perplexity(
    model: Model,
    ids: list[int],
    bos_ids: tuple[int, ...],
    logprobs: Callable[[Model, list[int]], list[float]] = reference.logprobs,
) -> float:
    """Per token, over windows that do not see each other."""
    scores: list[float] = []
    for start in range(0, len(ids), WINDOW):
        scores += logprobs(model, [*bos_ids, *ids[start : start + WINDOW]])
    return math.exp(-sum(scores) / len(scores))


def int8_logprobs(model: Model, ids: list[int]) -> list[float]:
    """``reference.logprobs`` where attention reads keys and values that were kept in int8."""
    length = len(ids)
    pages = -(-length // PAGE)
    kv = PagedKV(
        CacheSize(
            layers=model.config.layers,
            kv_heads=model.config.kv_heads,
            head_dim=model.config.head_dim,
            pages=pages,
            page_size=PAGE,
            dtype=model.dtype,
            kept=torch.int8,
        )
    )
    held = tuple(range(pages))
    batch = Batch(
        id=0,
        tokens=torch.tensor(ids),
        positions=torch.arange(length),
        spans=(Span(sequence_id=0, start=0, length=length, context=length, pages=held),),
        logit_rows=torch.arange(length),
    )
    table = model.forward(batch, kv.layers, OneRank()).log_softmax(dim=-1)
    return [float(table[place, token]) for place, token in enumerate(ids[1:])]


def detokenised(text: str) -> str:
    """Words back into prose, roughly: marks join their words, quotes and brackets close up."""
    text = text.replace("<unk>", "unk")
    text = re.sub(r" @([-,.])@ ", r"\1", text)
    text = re.sub(r" ([,.;:?!%)\]])", r"\1", text)
    text = re.sub(r"([(\[$]) ", r"\1", text)
    text = re.sub(r" ('s|n't|'re|'ve|'ll|'d|'m)\b", r"\1", text)
    return re.sub(r'" ([^"]*?) "', r'"\1"', text)


if __name__ == "__main__":
    main()
