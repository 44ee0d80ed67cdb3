"""Micro-batches: one batch in pieces, so that the stages of a pipeline work at the same time.

A piece may end in the middle of a prompt: the next one then finds the keys and values of the first
in the cache, as if the prompt had been sent in two steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from banyan.engine.batch import Batch, Span


def micro_batches(batch: Batch, rows: int) -> list[Batch]:
    """``batch`` in pieces of ``rows`` tokens (the last may be shorter), in order."""
    total = len(batch.tokens)
    if total <= rows:
        return [batch]
    return [_piece(batch, begin, min(begin + rows, total)) for begin in range(0, total, rows)]


def _piece(batch: Batch, begin: int, end: int) -> Batch:
    wanted = (batch.logit_rows >= begin) & (batch.logit_rows < end)
    return replace(
        batch,
        tokens=batch.tokens[begin:end],
        positions=batch.positions[begin:end],
        spans=tuple(_spans(batch.spans, begin, end)),
        logit_rows=batch.logit_rows[wanted] - begin,
        whole_rows=None if batch.whole_rows is None else batch.whole_rows[wanted],
    )


def _spans(spans: tuple[Span, ...], begin: int, end: int) -> Iterator[Span]:
    """What of each span lies in rows [begin, end) of its batch."""
    for span in spans:
        first, last = max(begin, span.start), min(end, span.start + span.length)
        if first < last:
            later = span.start + span.length - last
            yield replace(
                span, start=first - begin, length=last - first, context=span.context - later
            )
