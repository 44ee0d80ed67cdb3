"""Many texts into vectors: tokenise, sort by length, run in batches, put back in order.

What both encoders share; the arithmetic of one batch is given as a function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from banyan.core.context import Context

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Matrix = NDArray[np.float32]

BATCH_TOKENS: Final = 4096  # most tokens, padding included, that run at once
TOKENISE_AT_ONCE: Final = 1024  # texts

Tokenise = Callable[[Sequence[str]], list[list[int]]]
Run = Callable[["Ids", "Ids"], "Matrix"]  # ids [B, n] and lengths [B] -> vectors [B, dimensions]


def encode(
    texts: Sequence[str], dimensions: int, tokenise: Tokenise, run: Run, context: Context
) -> Matrix:
    """Float32 [len(texts), dimensions]: unit vectors, zeros for a text that is blank.

    Looks at ``context`` between batches; raises what it raises.
    """
    out = np.zeros((len(texts), dimensions), dtype=np.float32)
    places = [place for place, text in enumerate(texts) if text.strip()]
    ids: list[list[int]] = []
    for start in range(0, len(places), TOKENISE_AT_ONCE):
        context.check()
        ids += tokenise([texts[place] for place in places[start : start + TOKENISE_AT_ONCE]])
    for batch in batches([len(row) for row in ids], BATCH_TOKENS):
        context.check()
        rows = [ids[index] for index in batch]
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        padded = np.zeros((len(rows), int(lengths.max())), dtype=np.int64)
        for target, row in zip(padded, rows, strict=True):
            target[: len(row)] = row
        vectors = run(padded, lengths)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        out[[places[index] for index in batch]] = vectors / np.maximum(norms, 1e-12)
    return out


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices of neighbours in length, longest first, so that little is padded.

    A batch times its longest row stays within ``budget``, or the batch is a single row.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        count = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + count]
        start += count
