"""Groups of ranks under continuous batching: every layout of every family writes the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from tests.engine.ranks import anywhere
from tests.engine.seated import make_seats, seated_engine
from tests.engine.test_model import FAMILIES

from banyan.core.context import Context
from banyan.core.layout import Interval, Layout, ModelShape, Share, Stage
from banyan.core.types import Sampling, TokenLogprob
from banyan.engine import reference
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.config import EngineConfig
from banyan.engine.engine import Engine
from banyan.engine.loop import StepRunner
from banyan.engine.model import load_model
from banyan.engine.pages import PagePool
from banyan.engine.scheduler import Limits, Scheduler
from banyan.engine.seat import follow, lead
from banyan.plan.shares import divide, tensor_parallel

PAGES, PAGE = 11, 4  # all start together, and the youngest has to give way later
LIMITS = Limits(page_size=PAGE, max_batch_tokens=11, max_sequences=3)
NEW = 7
CONFIG = EngineConfig(
    precision="fp32",
    threads=1,
    page_size=PAGE,
    max_batch_tokens=11,
    max_sequences=3,
    kv_cache_bytes=4 << 20,
)


def prompts() -> list[list[int]]:
    generator = torch.manual_seed(8)
    return [torch.randint(3, 160, (length,), generator=generator).tolist() for length in (19, 1, 6)]


def one_stage(shape: ModelShape, weights: Sequence[float]) -> Layout:
    ranks = tuple(range(len(weights)))
    return Layout(stages=(Stage(ranks=ranks, shares=anywhere(shape, weights)),))


def with_layers(shares: Sequence[Share], layers: Interval) -> tuple[Share, ...]:
    return tuple(replace(share, layers=layers) for share in shares)


def two_stages(shape: ModelShape) -> Layout:
    """Two ranks with the first layers, one with the others."""
    first, second = divide(shape.layers, [1.0, 1.0])
    return Layout(
        stages=(
            Stage(ranks=(0, 1), shares=with_layers(anywhere(shape, [2.0, 1.0]), first)),
            Stage(ranks=(2,), shares=with_layers(anywhere(shape, [1.0]), second)),
        )
    )


@contextmanager
def group(path: Path, layout: Layout, hosts: Sequence[int]) -> Iterator[StepRunner]:
    """Rank 0's runner; the others follow in threads, and have ended afterwards."""
    seats = make_seats(layout, hosts, CONFIG)
    threads = [threading.Thread(target=follow, args=(seat, path)) for seat in seats[1:]]
    for thread in threads:
        thread.start()
    runner = lead(seats[0], path).runner
    try:
        yield runner
    finally:
        runner.close()
        for thread in threads:
            thread.join(30)


def written(runner: StepRunner) -> list[list[int]]:
    """What the group writes after all prompts at once, greedily, from candidates alone."""
    scheduler = Scheduler(PagePool(PAGES), LIMITS)
    sequences = [
        scheduler.add(prompt, max_length=len(prompt) + NEW, next_logit=len(prompt) - 1)
        for prompt in prompts()
    ]
    known = {sequence.id: sequence for sequence in sequences}
    while scheduler.has_work:
        batch = scheduler.next()
        assert batch is not None
        few = replace(batch, whole_rows=torch.zeros(len(batch.logit_rows), dtype=torch.bool))
        rows = dict(zip(batch.logit_rows.tolist(), runner.start(few)(), strict=True))
        tokens = {
            span.sequence_id: int(rows[span.start + span.length - 1].argmax())
            for span in batch.spans
            if span.context == len(known[span.sequence_id].tokens)
        }
        scheduler.finish(batch.id, tokens)
    return [sequence.tokens[-NEW:] for sequence in sequences]


@pytest.fixture(scope="module")
def expected(tiny) -> Callable[[str], list[list[int]]]:
    """What the slow reference writes, up to an end token."""

    @cache
    def write(family: str) -> list[list[int]]:
        model = load_model(tiny(family), "fp32", 1)
        return [reference.greedy(model, prompt, NEW) for prompt in prompts()]

    return write


@pytest.mark.parametrize(
    ("weights", "hosts"), [([1.0, 1.0], (1, 1)), ([5.0, 3.0, 1.0], (1, 2)), ([1.0] * 4, (2, 2))]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_ranks_of_every_family_write_what_the_reference_does(
    tiny, expected, family, weights, hosts
):
    layout = one_stage(open_checkpoint(tiny(family)).config.shape, weights)
    with group(tiny(family), layout, hosts) as runner:
        for found, wanted in zip(written(runner), expected(family), strict=True):
            assert found[: len(wanted)] == wanted


@pytest.mark.parametrize(
    "family", ["llama-dynamic", "qwen2-sliding", "mixtral", "gemma3-six-layers"]
)
def test_stages_of_a_pipeline_write_what_the_reference_does(tiny, expected, family):
    layout = two_stages(open_checkpoint(tiny(family)).config.shape)
    with group(tiny(family), layout, (2, 1)) as runner:
        for found, wanted in zip(written(runner), expected(family), strict=True):
            assert found[: len(wanted)] == wanted


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0, logprobs=3, max_tokens=8),
        Sampling(temperature=0.8, top_k=20, seed=3, logprobs=20, max_tokens=8),
        Sampling(temperature=0.8, top_p=0.9, seed=4, logprobs=1, max_tokens=8),
        Sampling(temperature=0, logprobs=2, echo=True, max_tokens=4),
    ],
    ids=["greedy", "top_k", "top_p", "echo"],
)
def test_a_group_reports_the_log_probabilities_of_one_rank(toy, sampling):
    def reported(engine: Engine) -> list[TokenLogprob]:
        events = engine.complete("some prompt", sampling, Context())
        return [entry for event in events for entry in getattr(event, "logprobs", ())]

    alone = Engine.load(toy, CONFIG)
    try:
        expected = reported(alone)
    finally:
        alone.close()
    layout = tensor_parallel(open_checkpoint(toy).config.shape, [2.0, 1.0, 1.0])
    with seated_engine(toy, layout, (1, 2), CONFIG) as engine:
        found = reported(engine)
    assert [entry.text for entry in found] == [entry.text for entry in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-4)
        assert [text for text, _ in ours.top] == [text for text, _ in theirs.top]
        assert [value for _, value in ours.top] == pytest.approx(
            [value for _, value in theirs.top], abs=1e-4
        )
