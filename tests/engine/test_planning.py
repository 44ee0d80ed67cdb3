"""The planner's bytes are the engine's own: of weights and keys to the byte, of activations as a
bound that is near."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import gguf
import pytest
import torch
from tests.engine.allocations import Allocations
from tests.engine.gguf_writer import write_gguf

from banyan.core.layout import Layout, ModelShape, Share
from banyan.engine import four_bit
from banyan.engine.batch import Batch, OneRank, Span
from banyan.engine.checkpoint import Checkpoint, open_checkpoint
from banyan.engine.config import EngineConfig
from banyan.engine.cut import cut
from banyan.engine.model import Model
from banyan.engine.planning import shape_of, usual_kind, weight_kind
from banyan.engine.stream.kv_choice import make_cache
from banyan.engine.weights import activation_dtype, load_weights
from banyan.plan.budget import gathered_bytes
from banyan.plan.shares import pipeline, tensor_parallel
from banyan.plan.sizes import activation_bytes, kv_bytes, weight_bytes

CONFIGS = {
    "fp32": EngineConfig(precision="fp32"),
    "bf16": EngineConfig(precision="bf16"),
    "packed": EngineConfig(precision="packed"),
    "packed+copy": EngineConfig(precision="packed", packed_copy=True),
}
FAMILIES = ["llama", "qwen2", "mixtral"]
MORE = ["llama-mha-tied-biased", "qwen3", "qwen3-moe", "gemma3"]


def layouts(shape: ModelShape, ranks: int = 3) -> Iterator[Layout]:
    for count in range(1, ranks + 1):
        yield tensor_parallel(shape, [1.0] * count)
    yield pipeline(shape, [[1.0], [1.0]])


@pytest.fixture(autouse=True)
def torchs_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours keeps no zeros where all are 0; plans are for machines that do."""
    monkeypatch.setattr(four_bit, "kernel", lambda name: None)


def loaded(checkpoint: Checkpoint, config: EngineConfig, share: Share) -> Model:
    part = cut(checkpoint, share)
    weights = load_weights(part, config.precision, 1, copy=config.packed_copy, share=share)
    vocab = checkpoint.config.vocab
    return Model(part.config, weights, activation_dtype(config.precision), vocab=vocab)


def check(checkpoint: Checkpoint, config: EngineConfig, *, ranks: int = 3) -> None:
    """Weights and keys of every rank of every layout."""
    shape, kind = shape_of(checkpoint), weight_kind(config, checkpoint)
    for layout in layouts(shape, ranks):
        for rank in range(layout.ranks):
            share = layout.share(rank)
            model = loaded(checkpoint, config, share)
            assert weight_bytes(shape, share, kind) == model.size_bytes, (layout.name, rank)
            pages = 2 * -(-100 // config.page_size)
            cache = make_cache(model.config, model.dtype, config, pages)
            planned = kv_bytes(
                shape,
                share,
                tokens=100,
                sequences=2,
                item_bytes=model.dtype.itemsize,
                frees_windows=False,
            )
            assert planned == cache.size_bytes


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", FAMILIES + MORE)
def test_every_rank_holds_what_was_planned(
    tiny: Callable[[str], Path], family: str, precision: str
) -> None:
    check(open_checkpoint(tiny(family)), CONFIGS[precision])


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_rank_holds_what_was_planned_of_a_gguf_file(
    tiny: Callable[[str], Path], tmp_path: Path, family: str, kind: str
) -> None:
    path = write_gguf(tiny(family), tmp_path / "x.gguf", gguf.GGMLQuantizationType[kind])
    checkpoint = open_checkpoint(path)
    for precision in ("bf16", "packed", "packed+copy"):
        if (precision, kind) != ("packed+copy", "Q8_0"):  # never chosen: eight bits are not packed
            check(checkpoint, CONFIGS[precision])


def test_files_that_mix_formats_are_planned_matrix_by_matrix(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    """As quantisers make them: some matrices of some layers in more bits."""
    four, eight = (
        open_checkpoint(
            write_gguf(tiny("llama"), tmp_path / f"{kind}.gguf", gguf.GGMLQuantizationType[kind])
        )
        for kind in ("Q4_0", "Q8_0")
    )
    more = {name: eight.tensors[name] for name in ("layers.1.v.weight", "layers.2.down.weight")}
    plain = open_checkpoint(tiny("llama")).tensors["layers.0.o.weight"]
    mixed = replace(four, tensors={**four.tensors, **more, "layers.0.o.weight": plain})
    shape = shape_of(mixed)
    assert shape.others == ((("o", "bf16"),), (("v", "int8"),), (("down", "int8"),))
    for precision in ("packed", "packed+copy"):
        check(mixed, CONFIGS[precision])


def test_the_kind_is_the_files_own_whatever_the_configuration_says(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    plain = open_checkpoint(tiny("llama"))
    eight = open_checkpoint(
        write_gguf(tiny("llama"), tmp_path / "x.gguf", gguf.GGMLQuantizationType.Q8_0)
    )
    assert weight_kind(CONFIGS["packed"], plain) == "bf16"
    assert weight_kind(CONFIGS["packed"], eight) == "int8"
    assert weight_kind(CONFIGS["fp32"], eight) == "fp32"
    assert usual_kind(plain) == usual_kind(eight) == "bf16"


@pytest.fixture(scope="module")
def smollm2(models_home: Path) -> Checkpoint:
    return open_checkpoint(models_home / "models" / "smollm2-135m-instruct")


@pytest.mark.models
@pytest.mark.parametrize("precision", ["bf16", "packed"])
def test_every_rank_holds_what_was_planned_of_a_real_model(
    smollm2: Checkpoint, precision: str
) -> None:
    assert weight_kind(CONFIGS[precision], smollm2) == precision
    check(smollm2, CONFIGS[precision])


@pytest.mark.models
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("ranks", "rows", "wanted"), [(1, 128, 1), (2, 128, 128), (3, 16, 16)])
def test_a_step_holds_no_more_than_was_planned_and_not_much_less(
    smollm2: Checkpoint, precision: str, ranks: int, rows: int, wanted: int
) -> None:
    shape, config = shape_of(smollm2), CONFIGS[precision]
    share = tensor_parallel(shape, [1.0] * ranks).share(0)
    model = loaded(smollm2, config, share)
    pages = tuple(range(rows // config.page_size))
    kv = make_cache(model.config, model.dtype, config, len(pages))
    batch = Batch(
        id=0,
        tokens=torch.arange(rows),
        positions=torch.arange(rows),
        spans=(Span(sequence_id=0, start=0, length=rows, context=rows, pages=pages),),
        logit_rows=torch.arange(rows - wanted, rows),
    )
    with torch.inference_mode(), Allocations() as seen:
        model.forward(batch, kv.layers, OneRank())
    item = model.dtype.itemsize
    planned = activation_bytes(shape, share, rows=rows, logit_rows=wanted, item_bytes=item)
    planned += gathered_bytes(model.config.shape, kv=kv.size_bytes, tokens=rows, item_bytes=item)
    assert 0.6 * planned < seen.peak <= planned
