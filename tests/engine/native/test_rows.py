"""The functions of rows.c against the same in torch, in float32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from banyan.engine.feed_forward import gated
from banyan.engine.native import rows
from banyan.engine.native.library import kernel
from banyan.engine.norm import RmsNorm
from banyan.engine.rope import Rotation, rotated

pytestmark = pytest.mark.skipif(
    kernel("rms_norm") is None, reason="needs a C compiler and AVX-512 BF16"
)
SHAPES = [(1, 32), (3, 64), (130, 2048)]


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def is_rounded(found: Tensor, exact: Tensor) -> bool:
    """Half of the last of eight bits, and a little for the order of operations."""
    return bool(((found.float() - exact).abs() <= exact.abs() * (2**-8 + 2**-16) + 1e-6).all())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
def test_rms_norm(shape, scale):
    x, weight = numbers(*shape) * scale, numbers(shape[-1], seed=1)
    norm = RmsNorm.of(weight, 1e-5)
    assert is_rounded(rows.rms_norm(x, norm.weight, norm.eps), norm.by_torch(x, torch.float32))
    assert torch.equal(norm(x, torch.bfloat16), rows.rms_norm(x, norm.weight, norm.eps))


@pytest.mark.parametrize("shape", SHAPES)
def test_adding_to_the_stream_is_exact(shape):
    x, y = numbers(*shape), numbers(*shape, seed=1).bfloat16()
    expected = x + y.float()
    assert torch.equal(rows.add_to_stream(x, y), expected)
    assert torch.equal(x, expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_silu_gate(shape, scale):
    gate_up = (numbers(*shape) * scale).bfloat16()
    assert is_rounded(rows.silu_gate(gate_up), gated(gate_up.float(), "silu"))


@pytest.mark.parametrize(("count", "heads", "width"), [(1, 1, 32), (5, 3, 64), (130, 4, 128)])
def test_rotating_changes_the_rotated_heads_alone(count, heads, width):
    qkv = numbers(count, heads + 2, width).bfloat16()
    angles = numbers(count, 1, width // 2, seed=1)
    cos, sin = angles.cos().bfloat16(), angles.sin().bfloat16()
    rotation = Rotation(torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1))
    exact = rotated(qkv[:, :heads].float(), Rotation(rotation.cos.float(), rotation.sin.float()))
    rest = qkv[:, heads:].clone()
    found = rows.rotate_heads(qkv[:, :heads], rotation.cos, rotation.sin)
    assert is_rounded(found, exact)
    assert torch.equal(qkv[:, heads:], rest)


def test_threads_change_no_bit():
    x, weight, eps = numbers(7, 256), numbers(256, seed=1), torch.tensor(1e-6)
    gate_up, alone = numbers(7, 512).bfloat16(), rows.rms_norm(x, weight, eps)
    gates, before = rows.silu_gate(gate_up), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert torch.equal(rows.rms_norm(x, weight, eps), alone)
        assert torch.equal(rows.silu_gate(gate_up), gates)
    finally:
        torch.set_num_threads(before)


def test_it_takes_only_what_it_can_read():
    x = torch.zeros(4, 64)
    assert rows.takes(x, torch.float32)
    assert not rows.takes(x, torch.bfloat16)
    assert not rows.takes(x[:, ::2], torch.float32)
    assert not rows.takes(x[:, :40].contiguous(), torch.float32)
