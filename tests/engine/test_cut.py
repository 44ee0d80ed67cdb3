"""A rank's share of a checkpoint: what is in it, and that all shares together compute the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import gguf
import pytest
import torch
from tests.engine.gguf_writer import write_gguf
from tests.engine.ranks import anywhere, logits_of_ranks
from tests.engine.test_model import FAMILIES
from torch import Tensor

from banyan.core.errors import CheckpointInvalid
from banyan.core.layout import Interval, Share
from banyan.engine import reference
from banyan.engine.checkpoint import Checkpoint, open_checkpoint
from banyan.engine.config import Precision
from banyan.engine.cut import cut
from banyan.engine.dequantise import dequantise
from banyan.engine.model import load_model
from banyan.engine.slice_file import open_slice, slice_bytes
from banyan.engine.tokenizer import Tokenizer
from banyan.plan.shares import pipeline, shares, whole

TOKENS = [int(token) for token in torch.randint(3, 160, (30,), generator=torch.manual_seed(6))]
TEXT = (
    "A banyan starts as a seed in the crown of another tree. Its roots grow down to the ground and "
    "become trunks, so that an old banyan stands on hundreds of them. The largest one known covers "
    "five acres near Kolkata; people take its many trunks for a forest, but all of it is one tree."
)
WEIGHTS = [[1.0, 1.0], [1.0, 2.0, 1.0], [5.0, 3.0], [1.0] * 4]
GGUF_FAMILIES = ["llama", "llama-mha-tied-biased", "mistral", "qwen2", "qwen3", "gemma3-six-layers"]


@pytest.fixture
def checkpoint(tiny) -> Checkpoint:
    return open_checkpoint(tiny("llama"))


@pytest.mark.parametrize(
    "weights", WEIGHTS, ids=lambda weights: "+".join(f"{w:g}" for w in weights)
)
@pytest.mark.parametrize("family", FAMILIES)
def test_ranks_of_every_family_compute_what_one_rank_does(tiny, family, weights):
    folder = tiny(family)
    expected = reference.logits(load_model(folder, "fp32", 1), TOKENS)
    found = logits_of_ranks(folder, anywhere(open_checkpoint(folder).config.shape, weights), TOKENS)
    assert (found - expected).abs().max() <= 1e-4
    assert torch.equal(found.argmax(-1), expected.argmax(-1))


@pytest.mark.parametrize("kind", ["F32", "Q8_0", "Q4_0", "Q4_1"])
@pytest.mark.parametrize("family", GGUF_FAMILIES)
def test_ranks_that_read_a_gguf_file_compute_what_one_rank_does(tiny, tmp_path, family, kind):
    """Their cuts fall inside of blocks, and the rows of llama's q and k lie interleaved."""
    path = write_gguf(tiny(family), tmp_path / "x.gguf", gguf.GGMLQuantizationType[kind])
    expected = reference.logits(load_model(path, "fp32", 1), TOKENS)
    shape = open_checkpoint(path).config.shape
    for weights in ([1.0, 1.0], [2.0, 1.0, 1.0]):
        found = logits_of_ranks(path, anywhere(shape, weights), TOKENS)
        assert (found - expected).abs().max() <= 1e-4


@pytest.mark.parametrize("precision", ["bf16", "packed"])
@pytest.mark.parametrize("family", ["llama-mha-tied-biased", "qwen3", "gemma3-six-layers"])
def test_ranks_with_short_numbers_stay_near_one_rank_with_long_ones(
    tiny, tmp_path, family, precision
):
    """As near as one rank with the same short numbers, but for rounding before each sum."""
    path = write_gguf(tiny(family), tmp_path / "x.gguf", gguf.GGMLQuantizationType.Q4_1)
    exact = reference.logits(load_model(path, "fp32", 1), TOKENS)
    alone = reference.logits(load_model(path, precision, 1), TOKENS)
    shape = open_checkpoint(path).config.shape
    for weights in ([1.0, 1.0], [1.0, 2.0], [1.0, 1.0, 1.0]):
        found = logits_of_ranks(path, shares(shape, weights), TOKENS, precision)
        assert (found - exact).norm() <= 1.5 * (alone - exact).norm()


def test_a_share_of_everything_is_the_whole_checkpoint(checkpoint):
    part = cut(checkpoint, whole(checkpoint.config.shape))
    assert part.config == checkpoint.config
    assert part.tensors.keys() == checkpoint.tensors.keys()
    for name, tensor in part.tensors.items():
        assert tensor.shape == checkpoint.tensors[name].shape
        assert torch.equal(dequantise(tensor), dequantise(checkpoint.tensors[name]))


def test_matrices_that_spread_are_cut_by_rows_and_those_that_gather_by_columns(checkpoint):
    config = checkpoint.config
    share = replace(
        whole(config.shape),
        heads=Interval(1, 3),
        kv_heads=(0, 1),
        ffn=Interval(10, 40),
        vocab=Interval(32, 160),
    )
    part = cut(checkpoint, share)
    width, hidden = config.head_dim, config.hidden
    expected = {
        "layers.1.q.weight": (2 * width, hidden),
        "layers.1.k.weight": (2 * width, hidden),
        "layers.1.o.weight": (hidden, 2 * width),
        "layers.1.gate.weight": (30, hidden),
        "layers.1.down.weight": (hidden, 30),
        "layers.1.ffn_norm.weight": (hidden,),
        "embedding": (128, hidden),
        "head": (128, hidden),
        "norm": (hidden,),
    }
    assert {name: part.tensors[name].shape for name in expected} == expected
    numbers = dequantise(checkpoint.tensors["layers.1.down.weight"])
    assert torch.equal(dequantise(part.tensors["layers.1.down.weight"]), numbers[:, 10:40])
    assert (part.config.heads, part.config.kv_heads, part.config.ffn) == (2, 2, 30)


def test_a_key_value_head_that_serves_two_cuts_is_kept_as_often_as_it_takes(tiny):
    checkpoint = open_checkpoint(tiny("llama"))
    share = replace(whole(checkpoint.config.shape), heads=Interval(0, 3), kv_heads=(0, 0, 1))
    numbers = dequantise(checkpoint.tensors["layers.0.v.weight"]).view(2, 16, 64)
    found = dequantise(cut(checkpoint, share).tensors["layers.0.v.weight"]).view(3, 16, 64)
    assert torch.equal(found, numbers[[0, 0, 1]])


def test_the_bias_of_a_sum_is_added_by_one_rank(tiny):
    checkpoint = open_checkpoint(tiny("llama-mha-tied-biased"))
    dealt = anywhere(checkpoint.config.shape, [1.0, 1.0, 1.0])
    for name in ("layers.0.o.bias", "layers.0.down.bias"):
        biases = [dequantise(cut(checkpoint, share).tensors[name]) for share in dealt]
        assert torch.equal(biases[0], dequantise(checkpoint.tensors[name]))
        assert biases[0].any()
        assert not biases[1].any()
        assert not biases[2].any()


@pytest.mark.parametrize("family", ["llama", "llama-mha-tied-biased"])
def test_stages_have_their_layers_and_the_ends_they_need(tiny, family):
    checkpoint = open_checkpoint(tiny(family))
    layout = pipeline(checkpoint.config.shape, [[1.0], [1.0], [1.0]])
    parts = [cut(checkpoint, layout.share(rank)) for rank in range(3)]
    assert [(part.has_start, part.has_end) for part in parts] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    ends = [{name for name in part.tensors if "layers" not in name} for part in parts]
    head = "embedding" if checkpoint.config.tied else "head"
    assert ends == [{"embedding"}, set(), {"norm", head}]
    for number, part in enumerate(parts):
        assert part.config.layers == 1
        whole_name, own_name = f"layers.{number}.q.weight", "layers.0.q.weight"
        assert torch.equal(
            dequantise(part.tensors[own_name]), dequantise(checkpoint.tensors[whole_name])
        )


@pytest.mark.parametrize("precision", ["fp32", "bf16", "packed"])
def test_a_rank_takes_the_memory_of_its_share(tiny, tmp_path, precision):
    path = write_gguf(tiny("llama"), tmp_path / "x.gguf", gguf.GGMLQuantizationType.Q4_0)
    config = open_checkpoint(path).config
    everything = load_model(path, precision, 1).size_bytes
    norms = 4 * config.hidden * (2 * config.layers + 1)
    dealt = shares(config.shape, [2.0, 1.0])
    assert [share.kv_heads for share in dealt] == [(0,), (1,)]
    sizes = [load_model(path, precision, 1, share=share).size_bytes for share in dealt]
    assert sum(sizes) == everything + norms
    assert sizes[0] < 0.64 * everything
    stages = pipeline(config.shape, [[1.0], [1.0], [1.0]])
    middle = load_model(path, precision, 1, share=stages.share(1))
    with middle.weights.layer(0) as only:
        assert middle.size_bytes == only.size_bytes
    assert middle.size_bytes < everything / 3


def test_cutting_copies_nothing_but_repeated_heads(checkpoint):
    part = cut(checkpoint, shares(checkpoint.config.shape, [1.0, 1.0])[1])
    assert all(not tensor.data.flags.owndata for tensor in part.tensors.values())


@pytest.mark.parametrize("family", ["llama", "llama-mha-tied-biased", "qwen3"])
def test_a_slice_file_loads_as_the_share_it_was_made_of(tiny, tmp_path, family):
    path = write_gguf(tiny(family), tmp_path / "x.gguf", gguf.GGMLQuantizationType.Q4_0)
    checkpoint = open_checkpoint(path)
    for share in anywhere(checkpoint.config.shape, [1.0, 2.0, 1.0]):
        part = cut(checkpoint, share)
        file = tmp_path / "rank.slice"
        file.write_bytes(b"".join(slice_bytes(part, share)[1]))
        found = open_slice(file, share)
        assert (found.config, found.interleaved) == (part.config, part.interleaved)
        for name, tensor in part.tensors.items():
            assert torch.equal(dequantise(found.tensors[name]), dequantise(tensor))


@pytest.mark.parametrize("name", ["layers.0.q.weight", "layers.0.down.weight", "embedding"])
def test_a_tensor_of_another_size_than_the_configuration_says_is_not_cut(checkpoint, name):
    tensors = dict(checkpoint.tensors)
    tensors[name] = tensors[name].rows(Interval(0, 8)).columns(Interval(0, 8))
    broken = replace(checkpoint, tensors=tensors)
    with pytest.raises(CheckpointInvalid, match="the configuration says"):
        cut(broken, shares(checkpoint.config.shape, [1.0, 1.0])[0])


def test_a_share_that_is_not_of_this_model_is_refused(checkpoint):
    share = whole(checkpoint.config.shape)
    beyond: list[Share] = [
        replace(share, heads=Interval(2, 6)),
        replace(share, kv_heads=(1, 2)),
        replace(share, ffn=Interval(90, 100)),
        replace(share, vocab=Interval(-1, 10)),
        replace(share, layers=Interval(1, 4)),
        replace(share, experts=Interval(0, 1)),
    ]
    for wrong in beyond:
        with pytest.raises(CheckpointInvalid, match="share"):
            cut(checkpoint, wrong)


@pytest.fixture(scope="module")
def packaged(models_home: Path) -> Path:
    return models_home / "models" / "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def packaged_ids(packaged: Path) -> list[int]:
    return Tokenizer.load(packaged).encode(TEXT, special=False)


@pytest.fixture(scope="module")
def packaged_logits(packaged: Path, packaged_ids: list[int]) -> Callable[[Precision], Tensor]:
    """Of one rank."""
    return cache(
        lambda precision: reference.logits(load_model(packaged, precision, 1), packaged_ids)
    )


@pytest.mark.models
@pytest.mark.parametrize("ranks", [3, 8])
def test_in_float32_ranks_of_the_packaged_model_differ_by_rounding_alone(
    packaged, packaged_ids, packaged_logits, ranks
):
    dealt = shares(open_checkpoint(packaged).config.shape, [1.0] * ranks)
    found = logits_of_ranks(packaged, dealt, packaged_ids)
    expected = packaged_logits("fp32")
    assert (found - expected).abs().max() <= 1e-3
    assert torch.equal(found.argmax(-1), expected.argmax(-1))


@pytest.mark.models
@pytest.mark.parametrize("ranks", [2, 8])
@pytest.mark.parametrize("precision", ["bf16", "packed"])
def test_with_short_numbers_ranks_of_the_packaged_model_stay_within_a_bound(
    packaged, packaged_ids, packaged_logits, precision, ranks
):
    """Each position after the true ones. Logits near 16 have steps of 0.125 in bf16. No layout has
    the true numbers, so each must be about as near to float32 as one rank is. The first position
    is left out: its activations are seven times those of the others."""
    dealt = shares(open_checkpoint(packaged).config.shape, [1.0] * ranks)
    found = logits_of_ranks(packaged, dealt, packaged_ids, precision)[1:]
    alone, exact = packaged_logits(precision)[1:], packaged_logits("fp32")[1:]
    assert root_mean_square(found - exact) <= 1.5 * root_mean_square(alone - exact)
    assert root_mean_square(found - alone) <= 0.15
    assert (found - alone).abs().max() <= 2.0
    best = alone.topk(2, dim=-1).values
    sure = best[:, 0] - best[:, 1] > 0.25
    assert sure.float().mean() > 0.5
    assert torch.equal(found.argmax(-1)[sure], alone.argmax(-1)[sure])


def root_mean_square(x: Tensor) -> float:
    return float(x.square().mean().sqrt())
