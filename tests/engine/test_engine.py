"""The engine on a tiny model in fp32, against the reference that knows no batch and no cache."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.engine.toy import CONTEXT, LAYERS, wait_until, write_toy
from tests.engine.watched import GREEDY, Bench, all_at_once, text_of, write

from banyan.core.context import Context
from banyan.core.errors import (
    Cancelled,
    CheckpointInvalid,
    ContextTooLong,
    DeadlineExceeded,
    EngineFailed,
    InputError,
    Overloaded,
    UnsupportedModel,
)
from banyan.core.types import Message, Sampling
from banyan.engine import reference
from banyan.engine.config import EngineConfig, KvPrecision
from banyan.engine.engine import Engine
from banyan.engine.model import load_model
from banyan.engine.runner import alone
from banyan.engine.template import ChatTemplate
from banyan.engine.tokenizer import Tokenizer

PROMPTS = ["a", "Hello there", "the quick brown fox " * 6, "é中", "x" * 100, "0 1 2 3 4 5 6"]


def test_requests_that_run_together_write_what_the_reference_writes(bench: Bench) -> None:
    engine = bench.engine()
    bench.model.gate.clear()
    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        results = [pool.submit(write, engine, prompt) for prompt in PROMPTS]
        wait_until(lambda: engine.stats.running + engine.stats.waiting == len(PROMPTS))
        bench.model.gate.set()
        texts = [result.result() for result in results]
    assert texts == [bench.greedy_text(prompt, 24) for prompt in PROMPTS]
    assert max(bench.model.sequences_in_steps) == len(PROMPTS)


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(seed=5, max_tokens=30), "int8"),
        (Sampling(seed=5, max_tokens=30), "auto"),
        (Sampling(seed=6, max_tokens=30, temperature=0.7, top_k=20, top_p=0.9), "auto"),
        (Sampling(seed=7, max_tokens=30, repetition_penalty=1.2, frequency_penalty=0.4), "auto"),
    ],
)
def test_a_seed_draws_the_same_alone_in_a_batch_and_after_preemption(
    bench: Bench, sampling: Sampling, kept: KvPrecision
) -> None:
    bench.tokenizer.eos_ids = ()
    prompts = [prompt for prompt in PROMPTS if len(prompt) < 20]
    roomy, cramped = (bench.engine(pages=pages, kv_precision=kept) for pages in (200, 16))
    alone = [write(roomy, prompt, sampling) for prompt in prompts]
    assert all_at_once(roomy, prompts, sampling) == alone
    computed = bench.model.tokens
    assert all_at_once(cramped, prompts, sampling) == alone
    needed = sum(len(bench.ids(prompt)) + 29 for prompt in prompts)
    assert bench.model.tokens - computed > needed, "nothing was computed again"


def test_a_cancelled_request_ends_within_a_step(bench: Bench) -> None:
    engine = bench.engine()
    bench.tokenizer.eos_ids = ()
    context = Context()
    events = engine.complete("abc", Sampling(seed=1), context)
    next(events)
    context.cancel.set()
    with pytest.raises(Cancelled):
        list(events)
    wait_until(lambda: engine.stats.pages_free == engine.stats.pages_total)
    assert len(bench.model.sequences_in_steps) < CONTEXT - 10


def test_closing_the_generator_ends_the_work(bench: Bench) -> None:
    engine = bench.engine()
    bench.tokenizer.eos_ids = ()
    bench.model.gate.clear()
    events = engine.complete("abc", Sampling(seed=1), Context())
    bench.model.gate.set()
    next(events)
    events.close()
    wait_until(lambda: engine.stats.pages_free == engine.stats.pages_total)
    assert engine.stats.running == 0


def test_a_waiting_request_is_cancelled_too(bench: Bench) -> None:
    engine = bench.engine(max_sequences=1)
    bench.tokenizer.eos_ids = ()
    running = engine.complete("abc", Sampling(seed=1), Context())
    next(running)
    context = Context(deadline=0.0)
    with pytest.raises(DeadlineExceeded):
        list(engine.complete("abc", GREEDY, context))
    running.close()


def test_a_failing_step_fails_its_requests_and_the_engine_goes_on(bench: Bench) -> None:
    engine = bench.engine()
    expected = write(engine, "abc")
    bench.model.fails_with = ValueError("the cause")
    with pytest.raises(EngineFailed, match="ValueError: the cause"):
        write(engine, "abc")
    assert write(engine, "abc") == expected
    wait_until(lambda: engine.stats.pages_free == engine.stats.pages_total)


def test_running_out_of_memory_says_which_settings_to_lower(bench: Bench) -> None:
    engine = bench.engine()
    bench.model.fails_with = MemoryError()
    with pytest.raises(EngineFailed, match="memory") as caught:
        write(engine, "abc")
    assert "kv_cache_bytes" in caught.value.remedy


def test_what_a_step_says_to_do_reaches_the_caller(bench: Bench) -> None:
    engine = bench.engine()
    bench.model.fails_with = CheckpointInvalid("A layer is gone.", remedy="Bring it back.")
    with pytest.raises(EngineFailed, match="A layer is gone") as caught:
        write(engine, "abc")
    assert caught.value.remedy == "Bring it back."


def test_logits_that_are_not_numbers_fail_only_the_request_they_belong_to(bench: Bench) -> None:
    engine = bench.engine()
    bench.model.gate.clear()
    bench.model.spoils_last_of = 2
    with ThreadPoolExecutor(2) as pool:
        good = pool.submit(write, engine, "Hello there")
        wait_until(lambda: engine.stats.running == 1)
        spoilt = pool.submit(write, engine, "abc")
        wait_until(lambda: engine.stats.waiting == 1)
        bench.model.gate.set()
        with pytest.raises(EngineFailed, match="not numbers"):
            spoilt.result()
        assert good.result() == bench.greedy_text("Hello there", 24)


def test_a_full_queue_is_overloaded(bench: Bench) -> None:
    engine = bench.engine(max_sequences=1, max_waiting=1)
    bench.model.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(write, engine, "a")
        wait_until(lambda: engine.stats.running == 1)
        second = pool.submit(write, engine, "b")
        wait_until(lambda: engine.stats.waiting == 1)
        with pytest.raises(Overloaded):
            write(engine, "c")
        bench.model.gate.set()
        assert first.result()
        assert second.result()


def test_what_does_not_fit_the_context_is_refused_with_the_arithmetic(bench: Bench) -> None:
    engine = bench.engine()
    with pytest.raises(ContextTooLong, match=f"250 .* 7 .* 257; .* {CONTEXT}"):
        write(engine, "a" * 250, Sampling(max_tokens=7))
    with pytest.raises(ContextTooLong):
        write(engine, "a" * CONTEXT, Sampling())
    with pytest.raises(ContextTooLong):
        engine.score([("a", "b"), ("a", "b" * CONTEXT)], Context())


def test_bad_requests_are_refused_before_anything_is_computed(bench: Bench) -> None:
    engine = bench.engine()
    with pytest.raises(InputError, match="empty"):
        write(engine, "")
    with pytest.raises(InputError, match="temperature"):
        write(engine, "a", Sampling(temperature=-1))
    assert bench.model.tokens == 0


def test_chat_continues_the_rendered_conversation(bench: Bench) -> None:
    engine = bench.engine()
    messages = [Message(role="user", content="Who?")]
    prompt = bench.template.render(messages)
    assert text_of(engine.chat(messages, GREEDY, Context())) == write(engine, prompt)


def test_a_model_without_a_template_does_not_chat(tmp_path: Path) -> None:
    config = EngineConfig(precision="fp32", threads=1)
    engine = Engine.load(write_toy(tmp_path, chat_template=False), config)
    with pytest.raises(UnsupportedModel, match="template"):
        list(engine.chat([Message(role="user", content="Hi")], GREEDY, Context()))
    assert write(engine, "abc")
    engine.close()


def test_a_cache_too_small_for_a_page_is_refused_with_its_size(tmp_path: Path) -> None:
    config = EngineConfig(precision="fp32", threads=1, kv_cache_bytes=100)
    with pytest.raises(InputError, match="kv_cache_bytes = 100"):
        Engine.load(write_toy(tmp_path), config)


def test_closing_the_engine_fails_what_is_under_way(bench: Bench) -> None:
    engine = bench.engine()
    bench.tokenizer.eos_ids = ()
    events = engine.complete("abc", Sampling(seed=1), Context())
    next(events)
    engine.close()
    with pytest.raises(EngineFailed, match="closed"):
        list(events)
    with pytest.raises(EngineFailed, match="closed"):
        write(engine, "abc")


def test_the_figures_say_how_fast_and_how_full_it_is(bench: Bench) -> None:
    engine = bench.engine()
    assert engine.stats.decode_tokens_per_s == 0
    write(engine, "Hello there")
    wait_until(lambda: engine.stats.pages_free == engine.stats.pages_total)
    stats = engine.stats
    assert stats.decode_tokens_per_s > 0
    assert stats.prefill_tokens_per_s > 0
    assert (stats.running, stats.waiting) == (0, 0)
    assert stats.kv_cache_bytes == 200 * 2 * LAYERS * 4 * 2 * 8 * 4


@pytest.mark.models
def test_the_packaged_model_writes_in_a_batch_what_the_reference_writes(models_home: Path) -> None:
    path = models_home / "models" / "smollm2-135m-instruct"
    model = load_model(path, "fp32", 1)
    tokenizer = Tokenizer.load(path)
    config = EngineConfig(precision="fp32", threads=1, max_batch_tokens=16).resolve()
    engine = Engine(alone(model, config), tokenizer, ChatTemplate.load(path), config)
    prompts = ["The capital of France is", "def add(a, b):", "Once upon a time there was a"]
    try:
        texts = all_at_once(engine, prompts, Sampling(temperature=0, max_tokens=12))
    finally:
        engine.close()
    for prompt, text in zip(prompts, texts, strict=True):
        ids = tokenizer.encode(prompt, special=True)
        likeliest = reference.logits(model, ids + tokenizer.encode(text, special=False))
        new = likeliest[len(ids) - 1 : -1].argmax(-1).tolist()
        assert tokenizer.decode(new) == text
