"""A rank holds what its budget has counted, and streamed keys and values change nothing."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.engine.paged import paged_logits
from tests.engine.ranks import anywhere
from tests.engine.seated import seated_engine
from tests.engine.toy import wait_until, write_toy
from tests.engine.watched import GREEDY, all_at_once, write

from banyan.core.context import Context
from banyan.core.errors import Cancelled
from banyan.core.events import TokenReady
from banyan.core.layout import Interval, Layout, Stage
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.config import EngineConfig
from banyan.engine.engine import Engine
from banyan.engine.kv import PagedKV, count_pages
from banyan.engine.model import load
from banyan.engine.pools import Pool
from banyan.engine.stream import loading
from banyan.engine.stream.kv import StreamedKV
from banyan.engine.stream.kv_choice import make_cache, ways_of

IDS = [int(token) for token in torch.randint(3, 160, (40,), generator=torch.manual_seed(3))]
PROMPTS = ["The old mill", "a", "x" * 70, "0 1 2 3"]
THREADS = {"kv reader", "kv writer"}

Choose = Callable[..., EngineConfig]


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy with six layers."""
    return write_toy(tmp_path_factory.mktemp("deep"), layers=6)


@pytest.fixture
def choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Choose:
    """A config whose budget takes the last of its ways, however much there is."""

    def config(precision: str = "fp32", kept: str = "auto") -> EngineConfig:
        def last(demand, ways, limit):
            return replace(demand, kv=ways[-1].near, way=ways[-1])

        monkeypatch.setattr(loading, "with_keys", last)
        return EngineConfig(
            precision=precision,
            threads=1,
            page_size=4,
            kv_precision=kept,
            kv_cache_bytes=1 << 18,
            max_batch_tokens=16,
            device_memory=1 << 40,
            staging=str(tmp_path),
        )

    return config


@pytest.mark.parametrize("kept", ["auto", "bf16", "int8"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_rank_holds_what_was_counted_for_each_way(tiny, choose, precision, kept):
    model = load(tiny("gemma3-six-layers"), replace(choose(precision, kept), device_memory=0))
    config = choose(precision, kept)
    pages = count_pages(model.config, model.dtype, config)
    seen = set()
    for way in ways_of(model.config, model.dtype, config):
        cache = make_cache(model.config, model.dtype, config, pages, way)
        seen.add(type(cache))
        if isinstance(cache, StreamedKV):
            rounding = 2 * (1 << 20)  # of buffers to whole records
            assert way.near - rounding <= cache.near_bytes <= way.near
            assert cache.size_bytes == way.far
        else:
            pools: list[Pool] = [p for layer in cache.layers for p in (layer.keys, layer.values)]
            assert way.near == sum(plane.nbytes for pool in pools for plane in pool.planes)
        cache.close()
    assert seen == {PagedKV, StreamedKV}


@pytest.mark.parametrize("kept", ["bf16", "int8"])
@pytest.mark.parametrize("family", ["llama", "gemma3-six-layers", "qwen3-moe"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_logits_are_those_of_keys_that_stay_bit_for_bit(tiny, choose, family, precision, kept):
    config = choose(precision, kept)
    found = []
    for each in (config, replace(config, device_memory=0)):
        model = load(tiny(family), each)
        cache = make_cache(model.config, model.dtype, each, 12, model.kv_way)
        assert isinstance(cache, StreamedKV) == bool(each.device_memory)
        lengths, pages = [13, 1, 1, 9, 16], [5, 0, 11, 1, 2, 9, 4, 3, 10, 6]
        found.append(paged_logits(model, cache.layers, IDS, lengths, pages=pages, page_size=4))
        model.close()
        cache.close()
    assert torch.equal(*found)


def test_requests_together_write_the_same_and_closing_leaves_no_thread(deep, tmp_path, choose):
    config = choose("fp32", "int8").resolve()
    texts = []
    for each in (config, replace(config, device_memory=0)):
        engine = Engine.load(deep, each)
        texts.append(all_at_once(engine, PROMPTS))
        running = {thread.name for thread in threading.enumerate()}
        assert (running >= THREADS) == bool(each.device_memory)
        engine.close()
        assert not THREADS & {thread.name for thread in threading.enumerate()}
    assert texts[0] == texts[1]
    assert not list(tmp_path.glob("kv-*"))


def test_cancelled_and_preempted_requests_leave_the_others_as_they_are(deep, choose):
    config = choose("fp32", "int8").resolve()
    alone = Engine.load(deep, replace(config, device_memory=0))
    expected = [write(alone, prompt) for prompt in PROMPTS]
    alone.close()
    page = 2 * 6 * 4 * 2 * (8 + 2)
    engine = Engine.load(deep, replace(config, kv_cache_bytes=40 * page))
    choice = random.Random(5)

    def ask(number: int, tokens: int | None) -> str:
        """The whole text, or (``tokens``) a request that is given up after so many."""
        context, text = Context(), ""
        for count, event in enumerate(engine.complete(PROMPTS[number], GREEDY, context)):
            if count == tokens:
                context.cancel.set()
            text += event.text if isinstance(event, TokenReady) else ""
        return text

    with ThreadPoolExecutor(8) as pool:
        asked = [(choice.randrange(4), choice.choice([None, 0, 2, 7])) for _ in range(32)]
        found = [pool.submit(ask, *each) for each in asked]
        for (number, tokens), answer in zip(asked, found, strict=True):
            if tokens is None:
                assert answer.result() == expected[number]
            else:
                with suppress(Cancelled):  # unless it had ended by itself
                    answer.result()
    wait_until(lambda: engine.stats.pages_free == engine.stats.pages_total == 40)
    engine.close()


def test_a_pipeline_of_groups_writes_the_same_text(deep, choose):
    shape = open_checkpoint(deep).config.shape
    config = choose("fp32", "bf16")
    first = [replace(share, layers=Interval(0, 3)) for share in anywhere(shape, [1.0, 1.0])]
    second = [replace(share, layers=Interval(3, 6)) for share in anywhere(shape, [1.0])]
    layout = Layout(
        stages=(Stage(ranks=(0, 1), shares=tuple(first)), Stage(ranks=(2,), shares=tuple(second)))
    )
    texts = []
    for each in (config, replace(config, device_memory=0)):
        with seated_engine(deep, layout, [2, 1], each) as engine:
            texts.append([write(engine, prompt) for prompt in PROMPTS])
    assert texts[0] == texts[1]
    assert all(texts[0])
