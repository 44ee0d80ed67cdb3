"""Random ragged batches for property tests."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from banyan.engine.batch import Batch, Span

PAGE_SIZE = 4


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """A batch as the scheduler makes them, with page tables that cover each context."""
    spans, start = [], 0
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    for number, length in enumerate(lengths):
        context = length + draw(st.integers(0, 7))
        pages = tuple(100 * number + page for page in range(-(-context // PAGE_SIZE)))
        spans.append(
            Span(sequence_id=number, start=start, length=length, context=context, pages=pages)
        )
        start += length
    wanted = draw(st.lists(st.booleans(), min_size=start, max_size=start))
    rows = torch.tensor(wanted).nonzero().flatten()
    positions = [torch.arange(span.context - span.length, span.context) for span in spans]
    whole = draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    return Batch(
        id=draw(st.integers(0, 1000)),
        tokens=torch.tensor(draw(st.lists(st.integers(0, 50_000), min_size=start, max_size=start))),
        positions=torch.cat(positions),
        spans=tuple(spans),
        logit_rows=rows,
        whole_rows=torch.tensor(whole, dtype=torch.bool),
    )
