"""The engine on a tiny model in fp32, against the reference that knows no batch and no cache."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.engine.toy import CONTEXT, LAYERS, wait_until, write_toy

from banyan.core.context import Context
from banyan.core.errors import (
    Cancelled,
    ContextTooLong,
    DeadlineExceeded,
    EngineFailed,
    InputError,
    Overloaded,
    UnsupportedModel,
)
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.types import Message, Sampling
from banyan.engine import reference
from banyan.engine.config import EngineConfig
from banyan.engine.engine import Engine
from banyan.engine.model import Model, load_model
from banyan.engine.template import ChatTemplate
from banyan.engine.tokenizer import Tokenizer

GREEDY = Sampling(temperature=0, max_tokens=24)
PROMPTS = ["a", "Hello there", "the quick brown fox " * 6, "é中", "x" * 100, "0 1 2 3 4 5 6"]


class Watched:
    """The model, counting what it computes, and failing when it is told to."""

    def __init__(self, model: Model) -> None:
        self.config, self.dtype, self.size_bytes = model.config, model.dtype, model.size_bytes
        self.tokens = 0
        self.sequences_in_steps: list[int] = []
        self.fails_with: Exception | None = None
        self.spoils_last_of: int | None = None
        self.gate = threading.Event()
        self.gate.set()
        self._model = model

    def forward(self, batch, kv, comm):
        self.gate.wait()
        if self.fails_with is not None:
            error, self.fails_with = self.fails_with, None
            raise error
        self.tokens += len(batch.tokens)
        self.sequences_in_steps.append(len(batch.spans))
        logits = self._model.forward(batch, kv, comm)
        if self.spoils_last_of == len(batch.spans):
            logits[-1] = float("nan")
        return logits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load_model(folder, "fp32", 1)


class Bench:
    """Engines over one watched model, closed at the end."""

    def __init__(self, folder: Path, model: Model) -> None:
        self.model = Watched(model)
        self.reference = model
        self.tokenizer = Tokenizer.load(folder)
        self.template = ChatTemplate.load(folder)
        self.engines: list[Engine] = []

    def engine(self, *, pages: int = 200, **limits: int) -> Engine:
        page_bytes = 2 * LAYERS * 4 * 2 * 8 * 4
        config = EngineConfig(
            precision="fp32",
            threads=1,
            page_size=4,
            kv_cache_bytes=pages * page_bytes,
            **{"max_batch_tokens": 32, "max_sequences": 8, **limits},
        )
        engine = Engine(self.model, self.tokenizer, self.template, config)
        self.engines.append(engine)
        return engine

    def ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, special=True)

    def greedy_text(self, prompt: str, count: int) -> str:
        ids = self.ids(prompt)
        new = reference.greedy(self.reference, ids, count)
        stream = self.tokenizer.stream(ids)
        ended = new[-1] in self.tokenizer.eos_ids
        return "".join(map(stream.push, new[:-1] if ended else new)) + stream.flush()


@pytest.fixture
def bench(folder: Path, model: Model) -> Iterator[Bench]:
    bench = Bench(folder, model)
    yield bench
    bench.model.gate.set()
    for engine in bench.engines:
        engine.close()


def text_of(events: Iterator[TokenReady | GenerationDone]) -> str:
    return "".join(event.text for event in events if isinstance(event, TokenReady))


def write(engine: Engine, prompt: str, sampling: Sampling = GREEDY) -> str:
    return text_of(engine.complete(prompt, sampling, Context()))


def all_at_once(engine: Engine, prompts: list[str], sampling: Sampling = GREEDY) -> list[str]:
    with ThreadPoolExecutor(len(prompts)) as pool:
        return list(pool.map(lambda prompt: write(engine, prompt, sampling), prompts))


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
    "sampling",
    [
        Sampling(seed=5, max_tokens=30),
        Sampling(seed=6, max_tokens=30, temperature=0.7, top_k=20, top_p=0.9),
        Sampling(seed=7, max_tokens=30, repetition_penalty=1.2, frequency_penalty=0.4),
    ],
)
def test_a_seed_draws_the_same_alone_in_a_batch_and_after_preemption(
    bench: Bench, sampling: Sampling
) -> None:
    bench.tokenizer.eos_ids = ()
    prompts = [prompt for prompt in PROMPTS if len(prompt) < 20]
    roomy, cramped = bench.engine(), bench.engine(pages=16)
    alone = [write(roomy, prompt, sampling) for prompt in prompts]
    assert all_at_once(roomy, prompts, sampling) == alone
    computed = bench.model.tokens
    assert all_at_once(cramped, prompts, sampling) == alone
    needed = sum(len(bench.ids(prompt)) + 29 for prompt in prompts)
    assert bench.model.tokens - computed > needed, "nothing was computed again"


def test_different_seeds_draw_differently_and_no_seed_is_fresh_each_time(bench: Bench) -> None:
    engine = bench.engine()
    free = Sampling(max_tokens=20)
    assert write(engine, "a", free) != write(engine, "a", free)


def test_a_stop_string_ends_the_text_and_is_never_shown(bench: Bench) -> None:
    engine = bench.engine()
    full = write(engine, "Hello there")
    stop = full[6:9]
    sampling = Sampling(temperature=0, max_tokens=24, stop=(stop, "never there"))
    events = list(engine.complete("Hello there", sampling, Context()))
    shown = ""
    for event in events[:-1]:
        shown += event.text
        assert full[: full.index(stop)].startswith(shown)
    assert shown == full[: full.index(stop)]
    assert events[-1].finish_reason == "stop"
    assert events[-1].usage.completion_tokens < 24


def test_an_end_token_ends_the_text_with_reason_stop(bench: Bench) -> None:
    engine = bench.engine()
    first = bench.ids(write(engine, "the end", Sampling(temperature=0, max_tokens=1)))[0]
    bench.tokenizer.eos_ids = (first,)
    events = list(engine.complete("the end", GREEDY, Context()))
    assert events == [GenerationDone(finish_reason="stop", usage=events[-1].usage)]
    assert (events[-1].usage.prompt_tokens, events[-1].usage.completion_tokens) == (7, 1)


def test_without_max_tokens_the_text_goes_to_the_end_of_the_context(bench: Bench) -> None:
    engine = bench.engine()
    bench.tokenizer.eos_ids = ()
    *_, done = engine.complete("a" * 200, Sampling(seed=1), Context())
    assert done.finish_reason == "length"
    assert done.usage.total_tokens == CONTEXT


def test_without_max_tokens_a_small_cache_ends_the_text_where_it_is_full(bench: Bench) -> None:
    engine = bench.engine(pages=5)
    bench.tokenizer.eos_ids = ()
    *_, done = engine.complete("abc", Sampling(seed=1), Context())
    assert done.usage.total_tokens == 5 * 4 + 1


def test_logprobs_are_those_of_the_reference_and_text_and_tokens_agree(bench: Bench) -> None:
    engine = bench.engine()
    prompt = "some prompt, longer than a batch of tokens; it is"
    sampling = Sampling(temperature=0, max_tokens=12, logprobs=3, echo=True)
    events = list(engine.complete(prompt, sampling, Context()))
    entries = [entry for event in events[:-1] for entry in event.logprobs]
    ids = bench.ids(prompt)
    ids += reference.greedy(bench.reference, ids, 12)
    expected = reference.logprobs(bench.reference, ids)
    assert entries[0].logprob is None
    assert [entry.logprob for entry in entries[1:]] == pytest.approx(expected, abs=1e-4)
    assert all(len(entry.top) == 3 for entry in entries[1:])
    assert events[0].text == prompt
    assert len(events[0].logprobs) == len(bench.ids(prompt))


def test_echo_with_no_new_tokens_is_a_pure_score(bench: Bench) -> None:
    engine = bench.engine()
    sampling = Sampling(max_tokens=0, logprobs=0, echo=True)
    echoed, done = engine.complete("to be scored", sampling, Context())
    found = [entry.logprob for entry in echoed.logprobs[1:]]
    expected = reference.logprobs(bench.reference, bench.ids("to be scored"))
    assert found == pytest.approx(expected, abs=1e-4)
    assert (done.finish_reason, done.usage.completion_tokens) == ("length", 0)


def test_no_new_tokens_and_nothing_to_report_computes_nothing(bench: Bench) -> None:
    engine = bench.engine()
    events = list(engine.complete("abc", Sampling(max_tokens=0, echo=True), Context()))
    assert [type(event) for event in events] == [TokenReady, GenerationDone]
    assert bench.model.tokens == 0


def test_logprobs_of_a_cut_off_stop_string_are_not_reported(bench: Bench) -> None:
    engine = bench.engine()
    stop = write(engine, "abc")[4:6]
    sampling = Sampling(temperature=0, max_tokens=24, stop=(stop,), logprobs=0)
    events = list(engine.complete("abc", sampling, Context()))
    shown = "".join(event.text for event in events[:-1])
    tokens = [entry.text for event in events[:-1] for entry in event.logprobs]
    assert len("".join(tokens)) == len(shown)


def test_scores_are_those_of_the_reference_for_any_mix_of_prefixes(bench: Bench) -> None:
    engine = bench.engine()
    pairs = [
        ("one prefix of several pages, shared", " and text"),
        ("another", " text"),
        ("one prefix of several pages, shared", " or another text, longer than the first"),
        ("", "no prefix at all"),
        ("a prefix", ""),
        ("one prefix of several pages, shared", "!"),
    ]
    for (prefix, text), entries in zip(pairs, engine.score(pairs, Context()), strict=True):
        ids = bench.ids(prefix) + bench.ids(text)
        expected = reference.logprobs(bench.reference, ids) if text else []
        found = [entry.logprob for entry in entries]
        if not prefix:
            assert found.pop(0) is None
        assert found == pytest.approx(expected[len(expected) - len(found) :], abs=1e-4)
        assert len(entries) == len(bench.ids(text))


def test_a_shared_prefix_is_computed_once(bench: Bench) -> None:
    engine = bench.engine(max_sequences=4)
    prefix = "p" * 41
    engine.score([(prefix, f"{number:03}") for number in range(20)], Context())
    assert bench.model.tokens <= 40 + 20 * (1 + 3)
    wait_until(lambda: engine.stats.pages_free == engine.stats.pages_total)


def test_scoring_rides_in_the_batch_beside_a_chat(bench: Bench) -> None:
    engine = bench.engine()
    chat = engine.complete("Hello there", Sampling(temperature=0, max_tokens=60), Context())
    start = next(chat)
    engine.score([("a prefix", " a text")] * 8, Context())
    assert len(bench.model.sequences_in_steps) < 60
    assert start.text + text_of(chat) == bench.greedy_text("Hello there", 60)
    assert max(bench.model.sequences_in_steps) > 1


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
    engine = Engine(model, tokenizer, ChatTemplate.load(path), config)
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
