"""Micro-batches are the batch in pieces: nothing lost, nothing twice, contexts as if in turn."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.batches import batches

from banyan.engine.batch import Batch
from banyan.engine.micro_batch import micro_batches


@given(batches(), st.integers(1, 12))
def test_pieces_laid_end_to_end_are_the_batch(batch: Batch, rows: int) -> None:
    pieces = micro_batches(batch, rows)
    assert all(len(piece.tokens) == rows for piece in pieces[:-1])
    for name in ("tokens", "positions", "whole_rows"):
        assert torch.equal(
            torch.cat([getattr(piece, name) for piece in pieces]), getattr(batch, name)
        )
    starts = range(0, len(batch.tokens), rows)
    logit_rows = [piece.logit_rows + start for piece, start in zip(pieces, starts, strict=True)]
    assert torch.equal(torch.cat(logit_rows), batch.logit_rows)


@given(batches(), st.integers(1, 12))
def test_a_cut_span_goes_on_where_its_first_part_ended(batch: Batch, rows: int) -> None:
    reached: dict[int, int] = {}
    for piece in micro_batches(batch, rows):
        row = 0
        for span in piece.spans:
            assert span.start == row
            positions = piece.positions[span.start : span.start + span.length]
            assert positions.tolist() == list(range(span.context - span.length, span.context))
            before = reached.get(span.sequence_id, span.context - span.length)
            assert span.context - span.length == before
            reached[span.sequence_id] = span.context
            row += span.length
        assert row == len(piece.tokens)
    assert reached == {span.sequence_id: span.context for span in batch.spans}


def test_a_batch_that_fits_is_its_own_only_piece() -> None:
    batch = Batch(
        id=1,
        tokens=torch.tensor([1]),
        positions=torch.tensor([0]),
        spans=(),
        logit_rows=torch.tensor([0]),
    )
    assert micro_batches(batch, 1) == [batch]
