"""Mixtures of experts: token by token the same, on one rank and on several."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, pairwise

import gguf
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.gguf_writer import write_gguf
from tests.engine.ranks import logits_of_ranks
from torch import Tensor
from torch.nn import functional

from banyan.core.errors import CheckpointInvalid, PlanImpossible, UnsupportedModel
from banyan.core.layout import Interval
from banyan.engine import reference
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.config import ModelConfig
from banyan.engine.cut import cut
from banyan.engine.experts import Experts
from banyan.engine.feed_forward import GatedFfn
from banyan.engine.linear import Dense
from banyan.engine.model import load_model
from banyan.engine.slice_file import open_slice, slice_bytes
from banyan.plan.shares import shares

HIDDEN, FFN = 12, 8
TOKENS = [int(token) for token in torch.randint(3, 160, (24,), generator=torch.manual_seed(3))]
FAMILIES = ["mixtral", "qwen3-moe", "qwen3-moe-sliding"]


def by_token(x: Tensor, router: Tensor, networks: list[GatedFfn], layer: Experts) -> Tensor:
    """The definition, in a loop over tokens and experts."""
    rows = []
    for row in x:
        likeliest = (router @ row).softmax(dim=-1).topk(layer.per_token)
        share = likeliest.values / likeliest.values.sum() if layer.normalise else likeliest.values
        outputs = [
            weight * networks[int(number)](row.unsqueeze(0))[0]
            for weight, number in zip(share, likeliest.indices, strict=True)
        ]
        rows.append(torch.stack(outputs).sum(dim=0))
    return torch.stack(rows) if rows else torch.zeros(0, HIDDEN)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_ranks_with_some_experts_each_add_up_to_each_tokens_own_experts(data):
    count = data.draw(st.integers(1, 7))
    generator = torch.manual_seed(data.draw(st.integers(0, 1000)))
    router = torch.randn(count, HIDDEN, generator=generator)
    networks = [
        GatedFfn(
            Dense(torch.randn(2 * FFN, HIDDEN, generator=generator)),
            Dense(torch.randn(HIDDEN, FFN, generator=generator)),
            "silu",
        )
        for _ in range(count)
    ]
    whole = Experts(
        router=Dense(router),
        experts=tuple(networks),
        first=0,
        per_token=data.draw(st.integers(1, count)),
        normalise=data.draw(st.booleans()),
    )
    x = torch.randn(data.draw(st.integers(0, 9)), HIDDEN, generator=generator)
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=3)))
    ends = [0, *cuts, count]
    parts = [
        replace(whole, experts=tuple(networks[begin:end]), first=begin)
        for begin, end in pairwise(ends)
    ]
    expected = by_token(x, router, networks, whole)
    assert torch.allclose(whole(x), expected, rtol=1e-4, atol=1e-4)
    assert torch.allclose(list(accumulate(part(x) for part in parts))[-1], expected, atol=1e-3)
    assert sum(part.size_bytes for part in parts) == whole.size_bytes + len(cuts) * (
        4 * router.numel()
    )


def test_only_experts_that_a_token_chose_are_computed():
    called = []

    class Watched:
        size_bytes = 0
        entries = ()

        def __init__(self, number: int) -> None:
            self.number = number

        def __call__(self, x: Tensor) -> Tensor:
            called.append((self.number, len(x)))
            return x

    router = torch.eye(6, HIDDEN)
    experts = tuple(Watched(number) for number in range(6))
    layer = Experts(router=Dense(router), experts=experts, first=0, per_token=2, normalise=True)
    x = functional.one_hot(torch.tensor([4, 1, 4]), HIDDEN).float()
    x += functional.one_hot(torch.tensor([2, 2, 2]), HIDDEN) * 0.5
    assert torch.allclose(layer(x), x, atol=1e-6)
    assert sorted(called) == [(1, 1), (2, 3), (4, 2)]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_expert_parallel_ranks_compute_what_one_rank_does(tiny, family, ranks):
    folder = tiny(family)
    expected = reference.logits(load_model(folder, "fp32", 1), TOKENS)
    dealt = shares(open_checkpoint(folder).config.shape, [1.0] * ranks)
    assert sum(share.experts.size for share in dealt) == open_checkpoint(folder).config.experts
    found = logits_of_ranks(folder, dealt, TOKENS)
    assert (found - expected).abs().max() <= 1e-4
    assert torch.equal(found.argmax(-1), expected.argmax(-1))


def test_unequal_ranks_compute_what_one_rank_does(tiny):
    folder = tiny("qwen3-moe")
    expected = reference.logits(load_model(folder, "fp32", 1), TOKENS)
    dealt = shares(open_checkpoint(folder).config.shape, [4.0, 1.0])
    assert dealt[0].experts == Interval(0, 5)
    assert (logits_of_ranks(folder, dealt, TOKENS) - expected).abs().max() <= 1e-4


def test_every_expert_may_be_split_by_columns_instead(tiny):
    folder = tiny("qwen3-moe")
    config = open_checkpoint(folder).config
    expected = reference.logits(load_model(folder, "fp32", 1), TOKENS)
    columns = (Interval(0, 32), Interval(32, 64))
    dealt = tuple(
        replace(share, experts=Interval(0, config.experts), ffn=ffn)
        for share, ffn in zip(shares(config.shape, [1.0, 1.0]), columns, strict=True)
    )
    assert (logits_of_ranks(folder, dealt, TOKENS) - expected).abs().max() <= 1e-4


@pytest.mark.parametrize("ranks", [2, 3])
def test_packed_experts_of_ranks_stay_near_those_of_one(tiny, tmp_path, ranks):
    path = write_gguf(tiny("qwen3-moe"), tmp_path / "x.gguf", gguf.GGMLQuantizationType.Q4_0)
    expected = reference.logits(load_model(path, "packed", 1), TOKENS)
    dealt = shares(open_checkpoint(path).config.shape, [1.0] * ranks)
    found = logits_of_ranks(path, dealt, TOKENS, "packed")
    assert (found - expected).abs().mean() < 0.02 * expected.std()


def test_a_rank_holds_its_own_experts_and_the_whole_router(tiny):
    folder = tiny("qwen3-moe")
    checkpoint = open_checkpoint(folder)
    whole = load_model(folder, "fp32", 1)
    for share in shares(checkpoint.config.shape, [1.0, 1.0, 1.0]):
        names = {name for name in cut(checkpoint, share).tensors if ".experts." in name}
        numbers = {int(name.split(".")[3]) for name in names}
        assert numbers == set(range(share.experts.begin, share.experts.end))
        model = load_model(folder, "fp32", 1, share=share)
        with model.weights.layer(0) as part, whole.weights.layer(0) as all_of_it:
            router = all_of_it.ffn.router.size_bytes
            assert part.ffn.router.size_bytes == router
            assert part.ffn.size_bytes - router == (all_of_it.ffn.size_bytes - router) // 3


def test_a_slice_file_carries_a_ranks_experts(tiny, tmp_path):
    checkpoint = open_checkpoint(tiny("mixtral"))
    share = shares(checkpoint.config.shape, [1.0, 1.0])[1]
    part = cut(checkpoint, share)
    path = tmp_path / "rank.slice"
    path.write_bytes(b"".join(slice_bytes(part, share)[1]))
    found = open_slice(path, share)
    assert found.config == part.config
    assert found.tensors.keys() == part.tensors.keys()
    assert load_model(path, "fp32", 1, share=share).size_bytes > 0


def test_more_ranks_than_experts_are_refused(tiny):
    shape = replace(open_checkpoint(tiny("mixtral")).config.shape, heads=32, vocab=3200)
    with pytest.raises(PlanImpossible, match=r"5 .* 6 ranks"):
        shares(shape, [1.0] * 6)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"experts": -1}, CheckpointInvalid),
        ({"experts": 2**20}, CheckpointInvalid),
        ({"experts_per_token": 0}, CheckpointInvalid),
        ({"experts_per_token": 6}, CheckpointInvalid),
        ({"ffn_bias": True}, UnsupportedModel),
    ],
)
def test_experts_that_make_no_sense_are_refused(tiny, values, error):
    config: ModelConfig = open_checkpoint(tiny("mixtral")).config
    with pytest.raises(error):
        replace(config, **values)
