"""Every layout writes what one rank writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engine.seated import KEY, seated_engine
from tests.engine.watched import all_at_once

from banyan.core.layout import Layout, ModelShape
from banyan.core.types import Sampling
from banyan.engine import seat
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.comm.roster import Member, Roster
from banyan.engine.config import EngineConfig
from banyan.engine.engine import Engine
from banyan.engine.formation import Communication, Formation, ModelIdentity
from banyan.plan.shares import pipeline, tensor_parallel

GREEDY = Sampling(temperature=0, max_tokens=16)
PROMPTS = [
    "The capital of France is",
    "def add(a, b):",
    "Once upon a time there was a miller who counted the sacks one by one until the river rose",
    "1, 2, 3,",
]
CONFIG = EngineConfig(
    precision="fp32", threads=1, max_batch_tokens=12, kv_cache_bytes=8 << 20, max_sequences=3
)
HOSTS: dict[str, Sequence[int]] = {
    "2x1": (1, 1),
    "1x2": (2,),
    "3x1": (1, 1, 1),
    "2x2": (2, 2),
    "2x4": (4, 4),
}


def uneven(shape: ModelShape) -> Layout:
    return tensor_parallel(shape, [5.0, 3.0, 2.0])


@pytest.fixture(scope="module")
def packaged(models_home: Path) -> Path:
    return models_home / "models" / "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def shape(packaged: Path) -> ModelShape:
    return open_checkpoint(packaged).config.shape


@pytest.fixture(scope="module")
def expected(packaged: Path) -> list[str]:
    engine = Engine.load(packaged, CONFIG)
    try:
        return all_at_once(engine, PROMPTS, GREEDY)
    finally:
        engine.close()


@pytest.mark.models
@pytest.mark.parametrize("hosts", HOSTS.values(), ids=HOSTS)
def test_tensor_parallel_ranks_write_what_one_rank_writes(
    packaged: Path, shape: ModelShape, expected: list[str], hosts: Sequence[int]
) -> None:
    layout = tensor_parallel(shape, [1.0] * sum(hosts))
    with seated_engine(packaged, layout, hosts, CONFIG) as engine:
        assert all_at_once(engine, PROMPTS, GREEDY) == expected


@pytest.mark.models
def test_uneven_ranks_write_what_one_rank_writes(
    packaged: Path, shape: ModelShape, expected: list[str]
) -> None:
    with seated_engine(packaged, uneven(shape), (1, 2), CONFIG) as engine:
        assert all_at_once(engine, PROMPTS, GREEDY) == expected


@pytest.mark.models
@pytest.mark.parametrize("stages", [[[1.0], [1.0]], [[1.0, 1.0], [2.0]]], ids=["pp2", "2+1"])
def test_a_pipeline_writes_what_one_rank_writes(
    packaged: Path, shape: ModelShape, expected: list[str], stages: list[list[float]]
) -> None:
    hosts = [len(stage) for stage in stages]
    with seated_engine(packaged, pipeline(shape, stages), hosts, CONFIG) as engine:
        assert all_at_once(engine, PROMPTS, GREEDY) == expected


@pytest.mark.models
def test_every_way_of_sampling_is_served_by_a_group(packaged: Path, shape: ModelShape) -> None:
    ways = [
        Sampling(temperature=0.8, top_k=20, seed=3, max_tokens=12),
        Sampling(temperature=1.0, top_p=0.9, seed=4, max_tokens=12),
        Sampling(temperature=0.7, seed=5, repetition_penalty=1.3, max_tokens=12),
        Sampling(temperature=0, logprobs=3, max_tokens=12),
    ]
    alone = Engine.load(packaged, CONFIG)
    try:
        expected = [all_at_once(alone, PROMPTS[:2], way) for way in ways]
    finally:
        alone.close()
    layout = tensor_parallel(shape, [1.0] * 2)
    communication = Communication(algorithm="tree")
    with seated_engine(packaged, layout, (1, 1), CONFIG, communication) as engine:
        assert [all_at_once(engine, PROMPTS[:2], way) for way in ways] == expected


@pytest.mark.parametrize(
    ("hosts", "threads", "cores", "own"),
    [((1, 1), 0, 1, True), ((1, 1), 2, 1, False), ((4, 4), 1, 4, True), ((4, 4), 1, 3, False)],
)
def test_ranks_spin_only_where_each_has_its_cores_for_itself(
    hosts: Sequence[int], threads: int, cores: int, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seat, "available_cores", lambda: cores)
    shape = ModelShape(layers=1, hidden=64, ffn=512, heads=8, kv_heads=8, head_dim=8, vocab=512)
    members = [
        Member(rank=rank, host=host, address="127.0.0.1", port=1, sharers=hosts[host])
        for rank, host in enumerate(host for host, count in enumerate(hosts) for _ in range(count))
    ]
    formation = Formation(
        roster=Roster(group_id="test", key=KEY, members=tuple(members)),
        layout=tensor_parallel(shape, [1.0] * len(members)),
        model=ModelIdentity(name="test", digest="", size_bytes=0),
        config=replace(CONFIG, threads=threads),
    )
    assert seat._has_own_core(formation, 0) == own
