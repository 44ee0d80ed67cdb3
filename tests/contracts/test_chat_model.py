"""What every ``ChatModel``, ``TextModel``, ``TextScorer`` and ``TokenCounter`` keeps to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine.toy import CONTEXT, write_toy

from banyan.core.context import Context
from banyan.core.errors import Cancelled, ContextTooLong, DeadlineExceeded, InputError
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.fakes import ScriptedChatModel, WordOverlapScorer
from banyan.core.types import Message, Sampling
from banyan.engine.config import EngineConfig
from banyan.engine.engine import Engine
from banyan.engine.process import EngineProcess

CONFIG = EngineConfig(precision="fp32", threads=1, kv_cache_bytes=1 << 20, max_batch_tokens=64)
ASK = (Message(role="system", content="Be brief."), Message(role="user", content="Who are you?"))
SOME = Sampling(temperature=0, max_tokens=16)
ENGINES = ["engine", "process"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def engines(folder: Path) -> Iterator[dict[str, Engine | EngineProcess]]:
    built = {"engine": Engine.load(folder, CONFIG), "process": EngineProcess(folder, CONFIG)}
    yield built
    for engine in built.values():
        engine.close()


@pytest.fixture
def model(request: pytest.FixtureRequest, engines: dict[str, Engine | EngineProcess]):
    if request.param == "scripted":
        return ScriptedChatModel(*["one two three four five"] * 3)
    if request.param == "overlap":
        return WordOverlapScorer()
    return engines[request.param]


chat_models = pytest.mark.parametrize("model", ["scripted", *ENGINES], indirect=True)
text_models = pytest.mark.parametrize("model", ENGINES, indirect=True)
scorers = pytest.mark.parametrize("model", ["overlap", *ENGINES], indirect=True)


@chat_models
def test_a_chat_is_pieces_of_text_and_then_one_end_with_usage(model) -> None:
    *pieces, end = model.chat(ASK, SOME, Context())
    assert pieces
    assert all(isinstance(piece, TokenReady) for piece in pieces)
    assert isinstance(end, GenerationDone)
    assert end.finish_reason in ("stop", "length")
    assert end.usage.prompt_tokens > 0
    assert 0 < end.usage.completion_tokens <= 16


@chat_models
def test_a_cancelled_chat_raises_before_its_next_piece(model) -> None:
    context = Context()
    events = model.chat(ASK, SOME, context)
    next(events)
    context.cancel.set()
    with pytest.raises(Cancelled):
        list(events)


@chat_models
def test_a_chat_past_its_deadline_raises(model) -> None:
    with pytest.raises(DeadlineExceeded):
        list(model.chat(ASK, SOME, Context(deadline=time.monotonic() - 1)))


@chat_models
def test_a_chat_that_is_left_early_leaves_the_model_usable(model) -> None:
    for _ in range(2):
        events = model.chat(ASK, SOME, Context())
        next(events)
        events.close()
    assert list(model.chat(ASK, SOME, Context()))


@text_models
def test_greedy_chats_repeat_themselves(model) -> None:
    assert list(model.chat(ASK, SOME, Context())) == list(model.chat(ASK, SOME, Context()))


@text_models
def test_what_cannot_fit_is_refused_before_the_first_piece(model) -> None:
    with pytest.raises(ContextTooLong, match=str(CONTEXT)):
        next(model.complete("a" * CONTEXT, SOME, Context()))
    with pytest.raises(ContextTooLong):
        next(model.chat(ASK, Sampling(max_tokens=CONTEXT), Context()))


@text_models
def test_an_option_out_of_range_is_an_input_error(model) -> None:
    with pytest.raises(InputError, match="top_p"):
        next(model.complete("a", Sampling(top_p=2), Context()))


@text_models
def test_echo_gives_the_prompt_back_with_its_logprobs(model) -> None:
    sampling = Sampling(temperature=0, max_tokens=4, echo=True, logprobs=2)
    *pieces, end = model.complete("a prompt", sampling, Context())
    assert "".join(piece.text for piece in pieces).startswith("a prompt")
    entries = [entry for piece in pieces for entry in piece.logprobs]
    assert entries[0].logprob is None
    assert all(entry.logprob <= 0 and len(entry.top) == 2 for entry in entries[1:])
    assert end.usage.prompt_tokens == len("a prompt")


@scorers
def test_scores_come_in_the_order_of_the_pairs_one_logprob_per_token(model) -> None:
    pairs = [("a prefix", "text"), ("another", "one more text"), ("a prefix", "")]
    scored = model.score(pairs, Context())
    assert len(scored) == 3
    assert all(entry.logprob <= 0 for entries in scored for entry in entries)
    assert len(scored[1]) > len(scored[0]) > len(scored[2]) == 0
    assert model.score(pairs[:1], Context())[0] == pytest.approx(scored[0])
    assert model.score([], Context()) == []


@scorers
def test_a_cancelled_score_raises(model) -> None:
    context = Context()
    context.cancel.set()
    with pytest.raises(Cancelled):
        model.score([("a prefix", "text")] * 50, context)


@text_models
def test_counting_is_what_the_usage_says(model) -> None:
    *_, end = model.complete("count me", SOME, Context())
    assert model.count("count me") == end.usage.prompt_tokens
    assert model.count("") == 0


def test_an_engine_and_its_process_say_the_same(engines) -> None:
    inside, outside = engines["engine"], engines["process"]
    sampling = Sampling(seed=4, max_tokens=30, logprobs=1)
    assert list(inside.chat(ASK, sampling, Context())) == list(
        outside.chat(ASK, sampling, Context())
    )
    pairs = [("a prefix", " text"), ("", "x")]
    assert inside.score(pairs, Context()) == outside.score(pairs, Context())
