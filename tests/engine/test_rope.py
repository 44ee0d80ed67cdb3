"""Rotations against the textbook formula and against ``transformers``' own frequencies."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from banyan.core.errors import CheckpointInvalid
from banyan.engine.batch import Batch, Span
from banyan.engine.config import RopeConfig
from banyan.engine.rope import Rope, frequencies, rotate


def batch_of(*spans: tuple[int, int]) -> Batch:
    """Spans of (length, context) laid end to end."""
    start, made, positions = 0, [], []
    for number, (length, context) in enumerate(spans):
        made.append(Span(sequence_id=number, start=start, length=length, context=context, pages=()))
        positions += range(context - length, context)
        start += length
    return Batch(
        id=0,
        tokens=torch.zeros(start, dtype=torch.int64),
        positions=torch.tensor(positions),
        spans=tuple(made),
        logit_rows=torch.tensor([0]),
    )


def textbook(x: torch.Tensor, position: int, theta: float) -> torch.Tensor:
    """Each pair (i, i + d/2) turned by position * theta^(-2i/d), one number at a time."""
    half = len(x) // 2
    out = torch.empty_like(x)
    for i in range(half):
        angle = position * theta ** (-2 * i / len(x))
        cos, sin = math.cos(angle), math.sin(angle)
        out[i] = x[i] * cos - x[i + half] * sin
        out[i + half] = x[i + half] * cos + x[i] * sin
    return out


@settings(max_examples=40, deadline=None)
@given(
    half=st.integers(1, 8),
    context=st.integers(1, 300),
    theta=st.floats(10, 1e6),
    seed=st.integers(0, 1000),
)
def test_a_head_is_rotated_as_the_textbook_says(half, context, theta, seed):
    length = min(context, 3)
    batch = batch_of((length, context))
    x = torch.randn(length, 2, 2 * half, generator=torch.manual_seed(seed))
    rotation = Rope(RopeConfig(theta=theta), 2 * half).rotation(batch, torch.float32)
    rotated = rotate(x, rotation)
    for row, position in enumerate(batch.positions.tolist()):
        for head in range(2):
            expected = textbook(x[row, head].double(), position, theta)
            assert torch.allclose(rotated[row, head].double(), expected, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(shift=st.integers(0, 200), distance=st.integers(0, 50), seed=st.integers(0, 1000))
def test_a_score_depends_on_the_distance_alone(shift, distance, seed):
    q, k = torch.randn(2, 1, 1, 32, generator=torch.manual_seed(seed)).unbind(0)
    rope = Rope(RopeConfig(), 32)

    def turned(x: torch.Tensor, position: int) -> torch.Tensor:
        return rotate(x, rope.rotation(batch_of((1, position + 1)), torch.float32)).view(-1)

    near = turned(q, distance) @ turned(k, 0)
    far = turned(q, distance + shift) @ turned(k, shift)
    assert torch.allclose(near, far, atol=1e-3)


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (RopeConfig(kind="linear", factor=4.0), {"rope_type": "linear", "factor": 4.0}),
        (
            RopeConfig(kind="llama3", factor=8.0, original_context=64),
            {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            },
        ),
        (
            RopeConfig(kind="yarn", factor=4.0, original_context=64),
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
        ),
        (
            RopeConfig(kind="yarn", factor=4.0, original_context=64, truncate=False, beta_fast=16),
            {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 64,
                "truncate": False,
                "beta_fast": 16,
            },
        ),
    ],
)
def test_stretched_frequencies_equal_those_of_transformers(config, parameters):
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    theirs = LlamaConfig(
        head_dim=64,
        max_position_embeddings=256,
        rope_parameters={**parameters, "rope_theta": 10_000.0},
    )
    expected, _ = ROPE_INIT_FUNCTIONS[parameters["rope_type"]](theirs, "cpu")
    assert torch.allclose(frequencies(config, 64), expected, rtol=1e-6)


def test_dynamic_stretching_follows_each_sequences_own_length():
    rope = Rope(RopeConfig(kind="dynamic", factor=2.0, original_context=16), 8)
    plain = Rope(RopeConfig(), 8)
    both = rope.rotation(batch_of((2, 10), (2, 40)), torch.float32).cos
    assert torch.equal(both[:2], plain.rotation(batch_of((2, 10)), torch.float32).cos)
    assert not torch.equal(both[2:], plain.rotation(batch_of((2, 40)), torch.float32).cos)


@pytest.mark.parametrize(
    "values",
    [
        {"theta": -1.0},
        {"theta": math.nan},
        {"factor": 0.0},
        {"kind": "yarn"},
        {"kind": "dynamic", "original_context": -5},
        {"beta_fast": math.inf},
    ],
)
def test_a_rotation_that_cannot_be_computed_is_refused(values):
    with pytest.raises(CheckpointInvalid, match="rotation"):
        RopeConfig(**values)
