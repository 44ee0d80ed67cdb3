"""How a text ends, what is shown of it, and what is reported beside it."""

from __future__ import annotations

import pytest
import torch
from tests.engine.toy import CONTEXT
from tests.engine.watched import GREEDY, Bench, write

from banyan.core.context import Context
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.types import Sampling
from banyan.engine import reference
from banyan.engine.generation import Generation


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


class Words:
    """A tokenizer of a few whole words."""

    eos_ids = ()

    def __init__(self, *words: str) -> None:
        self.words = words

    def stream(self, after: list[int]) -> Words:
        return self

    def push(self, token: int) -> str:
        return self.words[token]

    def flush(self) -> str:
        return ""

    def token_text(self, token: int) -> str:
        return self.words[token]


@pytest.mark.parametrize(
    ("words", "stop", "shown", "reported"),
    [
        (["a", "ab", "1"], "ab1", "a", ["a"]),
        (["ab", "cd", "ef"], "de", "abc", ["ab", "cd"]),
        (["ab", "cd", "ef"], "cd", "ab", ["ab"]),
        (["ab", "cd", "e"], "de?", "abcde", ["ab", "cd", "e"]),
    ],
)
def test_a_token_is_reported_if_any_of_its_text_is_shown(
    words: list[str], stop: str, shown: str, reported: list[str]
) -> None:
    sampling = Sampling(temperature=0, stop=(stop,), logprobs=0)
    request = Generation(
        tokens=[0],
        max_length=1 + len(words),
        prompt_text="",
        sampling=sampling,
        tokenizer=Words(*words),
        context=Context(),
    )
    known = [0]
    while not request.finished:
        logits = torch.eye(len(words))[len(known) - 1]
        known.append(request.take(logits[None], len(known) - 1, known))
    events = []
    while not events or isinstance(events[-1], TokenReady):
        events.append(request.outputs.get_nowait())
    assert "".join(event.text for event in events[:-1]) == shown
    assert [entry.text for event in events[:-1] for entry in event.logprobs] == reported


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(temperature=0), False),
        (Sampling(temperature=0, logprobs=5), False),
        (Sampling(temperature=0.7, top_k=64, top_p=0.9, min_p=0.1, logprobs=20), False),
        (Sampling(temperature=0, echo=True), False),
        (Sampling(temperature=0, logprobs=0, echo=True), True),
        (Sampling(temperature=0.7, top_k=65), True),
        (Sampling(temperature=0.7, top_p=0.9), True),
        (Sampling(temperature=0.7), True),
        (Sampling(temperature=0, repetition_penalty=1.1), True),
        (Sampling(temperature=0, presence_penalty=0.1), True),
        (Sampling(temperature=0, frequency_penalty=-0.1), True),
    ],
    ids=str,
)
def test_only_rows_whose_likeliest_tokens_are_not_enough_are_needed_whole(
    bench: Bench, sampling: Sampling, expected: bool
) -> None:
    request = Generation(
        tokens=bench.ids("abc"),
        max_length=9,
        prompt_text="abc",
        sampling=sampling,
        tokenizer=bench.tokenizer,
        context=Context(),
    )
    assert request.needs_whole_logits is expected
