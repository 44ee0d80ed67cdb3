"""A step plan arrives as it was sent, and nothing else is taken for one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.batches import batches

from banyan.core.errors import ClusterError
from banyan.engine.batch import Batch
from banyan.engine.step_plan import decode, encode


@given(batches())
def test_a_batch_arrives_as_it_was_sent(batch: Batch) -> None:
    arrived = decode(encode(batch))
    assert (arrived.id, arrived.spans) == (batch.id, batch.spans)
    for name in ("tokens", "positions", "logit_rows", "whole_rows"):
        assert torch.equal(getattr(arrived, name), getattr(batch, name)), name


@given(batches())
def test_rows_not_said_to_be_otherwise_are_needed_whole(batch: Batch) -> None:
    arrived = decode(encode(replace(batch, whole_rows=None)))
    assert arrived.whole_rows is not None
    assert bool(arrived.whole_rows.all())


@given(batches(), st.data())
def test_a_plan_cut_anywhere_is_refused(batch: Batch, data: st.DataObject) -> None:
    plan = encode(batch)
    with pytest.raises(ClusterError):
        decode(plan[: data.draw(st.integers(0, len(plan) - 1))])


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(ClusterError):
        decode(noise)
