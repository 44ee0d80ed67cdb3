"""Step plan: a batch as the bytes that rank 0 sends to every other rank.

    int32 [6]         version, batch id, spans S, tokens T, logit rows R, page numbers P
    int32 [S, 4]      of each span: sequence id, length, context, pages
    int32 [P]         the spans' page tables, end to end
    int32 [T]         tokens
    int32 [R]         logit rows
    uint8 [R]         whether each is needed whole

Positions and starts follow from lengths and contexts, and are not sent.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from banyan.core.errors import ClusterError
from banyan.engine.batch import Batch, Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int32]

VERSION: Final = 1
HEADER: Final = 6
WRAP: Final = 1 << 31  # ids only tell batches and sequences of the same moment apart


def encode(batch: Batch) -> bytes:
    """The bytes of one batch."""
    spans, rows = batch.spans, len(batch.logit_rows)
    pages = [page for span in spans for page in span.pages]
    head = [VERSION, batch.id % WRAP, len(spans), len(batch.tokens), rows, len(pages)]
    table = [
        number
        for span in spans
        for number in (span.sequence_id % WRAP, span.length, span.context, len(span.pages))
    ]
    whole = torch.ones(rows, dtype=torch.bool) if batch.whole_rows is None else batch.whole_rows
    parts = (
        np.array(head + table + pages, dtype=np.int32),
        batch.tokens.numpy().astype(np.int32),
        batch.logit_rows.numpy().astype(np.int32),
        whole.numpy().astype(np.uint8),
    )
    return b"".join(part.tobytes() for part in parts)


def decode(data: bytes | bytearray | memoryview) -> Batch:
    """The batch that ``encode`` turned into ``data``; raises ``ClusterError`` for anything else."""
    whole_bytes = len(data) // 4 * 4
    numbers = np.frombuffer(data, dtype=np.int32, count=whole_bytes // 4)
    if len(numbers) < HEADER or numbers[0] != VERSION or (numbers[:HEADER] < 0).any():
        raise ClusterError("A step plan is not one of this version of Banyan.")
    _, batch_id, spans, tokens, rows, pages = (int(number) for number in numbers[:HEADER])
    sizes = (4 * spans, pages, tokens, rows)
    ends = list(accumulate(sizes, initial=HEADER))
    if 4 * ends[-1] + rows != len(data):
        raise ClusterError(f"A step plan of {len(data)} bytes contradicts itself.")
    table, page_list, ids, logit_rows = (numbers[begin:end] for begin, end in pairwise(ends))
    flags = np.frombuffer(data, dtype=np.uint8, count=rows, offset=4 * ends[-1])
    found = _spans(table.reshape(spans, 4), page_list, tokens)
    return Batch(
        id=batch_id,
        tokens=torch.from_numpy(ids.astype(np.int64)),
        positions=_positions(found),
        spans=found,
        logit_rows=torch.from_numpy(logit_rows.astype(np.int64)),
        whole_rows=torch.from_numpy(flags.astype(bool)),
    )


def _spans(table: Numbers, page_list: Numbers, tokens: int) -> tuple[Span, ...]:
    spans, start, first = [], 0, 0
    for sequence_id, length, context, count in table.tolist():
        if not 0 < length <= context or count < 0:
            raise ClusterError("A span of a step plan contradicts itself.")
        pages = tuple(page_list[first : first + count].tolist())
        spans.append(
            Span(sequence_id=sequence_id, start=start, length=length, context=context, pages=pages)
        )
        start, first = start + length, first + count
    if start != tokens or first != len(page_list):
        raise ClusterError("The spans of a step plan do not cover its tokens and pages.")
    return tuple(spans)


def _positions(spans: tuple[Span, ...]) -> torch.Tensor:
    if not spans:
        return torch.empty(0, dtype=torch.int64)
    return torch.cat([torch.arange(span.context - span.length, span.context) for span in spans])
