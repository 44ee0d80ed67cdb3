"""Weights taken apart and put together: the same numbers, without a copy."""

from __future__ import annotations

import gc
import weakref
from dataclasses import fields, is_dataclass

import pytest
import torch
from torch import Tensor

from banyan.engine import four_bit
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.feed_forward import GatedFfn
from banyan.engine.linear import Dense, Packed4, Reordered
from banyan.engine.norm import RmsNorm
from banyan.engine.stream.direct import aligned
from banyan.engine.stream.form import ALIGNMENT, put_together, take_apart
from banyan.engine.weights import LayerWeights, WeightReader
from banyan.plan.shares import Interval

FAMILIES = ["llama-mha-tied-biased", "qwen3", "mixtral", "gemma3"]


def layer_of(folder, precision, *, copy=False) -> LayerWeights:
    checkpoint = open_checkpoint(folder)
    reader = WeightReader(checkpoint, precision, copy=copy, device=torch.device("cpu"))
    return reader.layer(1, Interval(0, checkpoint.config.experts))


def returned(weights: LayerWeights) -> tuple[LayerWeights, Tensor]:
    """The weights after their bytes have been somewhere else."""
    form = take_apart(weights)
    buffer = aligned(form.size_bytes)
    form.copy_into(buffer)
    return put_together(form.description, buffer), buffer


def same(one: object, other: object) -> bool:
    if isinstance(one, Tensor):
        assert isinstance(other, Tensor)
        if one.is_mkldnn:
            return torch.equal(one.to_dense(), other.to_dense())
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, tuple):
        pairs = zip(one, other, strict=True)
        return all(same(left, right) for left, right in pairs)
    if is_dataclass(one):
        names = [entry.name for entry in fields(one)]
        return type(one) is type(other) and all(
            same(getattr(one, name), getattr(other, name)) for name in names
        )
    return one == other


@pytest.mark.parametrize("precision", ["fp32", "bf16", "packed"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_layer_comes_back_as_it_was(tiny, family, precision):
    weights = layer_of(tiny(family), precision)
    again, _ = returned(weights)
    assert same(weights, again)
    assert again.size_bytes == weights.size_bytes


def test_a_matrix_in_the_librarys_block_order_multiplies_as_before(tiny):
    weights = layer_of(tiny("llama"), "bf16")
    again, _ = returned(weights)
    assert isinstance(again.qkv, Reordered)
    for rows in (1, 5, 33):
        x = torch.randn(rows, 64).bfloat16()
        assert torch.equal(again.qkv(x), weights.qkv(x))


@pytest.mark.parametrize("has_kernel", [True, False])
def test_four_bit_matrices_of_either_kernel_come_back(monkeypatch, has_kernel):
    if not has_kernel:
        monkeypatch.setattr(four_bit, "kernel", lambda name: None)
    codes = torch.randint(16, (64, 64), generator=torch.manual_seed(0))
    scale = torch.rand(64, 2, generator=torch.manual_seed(1)).bfloat16()
    packed = Packed4(four_bit.make_four_bit(codes, scale, scale), 64)
    weights = LayerWeights(
        qkv=packed,
        output=packed,
        ffn=GatedFfn(packed, packed, "silu"),
        attention_norm=RmsNorm.of(torch.ones(64), 1e-5),
        ffn_norm=RmsNorm.of(torch.ones(64), 1e-5),
    )
    again, _ = returned(weights)
    assert same(weights, again)
    x = torch.ones(3, 64).bfloat16()
    assert torch.equal(again.qkv(x), packed(x))


def test_nothing_is_copied_and_tensors_are_aligned(tiny):
    weights = layer_of(tiny("mixtral"), "packed")
    form = take_apart(weights)
    assert all(offset % ALIGNMENT == 0 for offset, _ in form.tensors)
    again, buffer = returned(weights)
    buffer.zero_()
    assert not again.attention_norm.weight.any()


def test_what_lies_between_tensors_is_zero():
    weights = LayerWeights(
        qkv=Dense(torch.ones(3)),
        output=Dense(torch.ones(5)),
        ffn=GatedFfn(Dense(torch.ones(1)), Dense(torch.ones(1)), "silu"),
        attention_norm=RmsNorm.of(torch.ones(2), 1e-5),
        ffn_norm=RmsNorm.of(torch.ones(2), 1e-5),
    )
    form = take_apart(weights)
    buffer = torch.full((form.size_bytes + 100,), 255, dtype=torch.uint8)
    form.copy_into(buffer)
    used = sum(tensor.nbytes for _, tensor in form.tensors)
    assert (buffer == 0).sum() >= len(buffer) - used


def test_weights_of_an_unknown_kind_are_refused():
    class Strange:
        size_bytes = 0

    weights = LayerWeights(
        qkv=Strange(),
        output=Strange(),
        ffn=Strange(),
        attention_norm=RmsNorm.of(torch.ones(2), 1e-5),
        ffn_norm=RmsNorm.of(torch.ones(2), 1e-5),
    )
    with pytest.raises(TypeError, match="Strange cannot be kept"):
        take_apart(weights)


def test_a_layer_is_gone_as_soon_as_nobody_has_it(tiny):
    weights = layer_of(tiny("llama"), "fp32")
    seen = weakref.ref(weights.attention_norm.weight)
    gc.disable()
    try:
        returned(weights)
        del weights
        assert seen() is None
    finally:
        gc.enable()
