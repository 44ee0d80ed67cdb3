"""The packaged model behind the real application, driven by the official ``openai`` client."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.server.harness import Running, running

from banyan.app import App
from banyan.app.local_models import has_torch
from banyan.core.settings import Settings

pytestmark = pytest.mark.models

CHAT = "smollm2-135m-instruct"
EMBEDDER = "all-minilm-l6-v2"
USER: Any = {"role": "user", "content": "Name the largest planet of the solar system."}


@pytest.fixture(scope="module")
def server(models_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if not has_torch():
        pytest.skip("the extra `engine` is not installed")
    home = tmp_path_factory.mktemp("home")
    (home / "models").symlink_to(models_home / "models")
    app: Any = App(Settings(home=home, threads=2))
    try:
        with running(app) as started:
            yield started
    finally:
        app.close()


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as opened:
        yield opened


def _ask(client: OpenAI, **options: Any) -> Any:
    defaults = {"model": CHAT, "messages": [USER], "max_tokens": 12, "temperature": 0}
    return client.chat.completions.create(**{**defaults, **options})


def _text(stream: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def test_a_greedy_answer_is_the_same_whole_and_streamed(client: OpenAI) -> None:
    whole = _ask(client)
    assert "largest planet" in whole.choices[0].message.content
    assert whole.usage.completion_tokens <= 12
    assert whole.usage.prompt_tokens > 10
    assert _text(_ask(client, stream=True)) == whole.choices[0].message.content


def test_a_seed_fixes_what_is_drawn(client: OpenAI) -> None:
    first, second = (_text(_ask(client, stream=True, temperature=1, seed=7)) for _ in range(2))
    assert first == second


def test_an_answer_ends_at_a_stop_and_at_its_length(client: OpenAI) -> None:
    whole = _ask(client).choices[0].message.content
    stopped = _ask(client, stop=["solar"]).choices[0]
    assert stopped.message.content == whole.partition("solar")[0]
    assert stopped.finish_reason == "stop"
    assert _ask(client, max_tokens=2).choices[0].finish_reason == "length"


def test_echo_with_no_new_tokens_scores_a_text(client: OpenAI) -> None:
    def score(text: str) -> float:
        answer = client.completions.create(
            model=CHAT, prompt=text, echo=True, logprobs=0, max_tokens=0
        )
        assert answer.choices[0].text == text
        logprobs = answer.choices[0].logprobs
        assert logprobs is not None
        assert "".join(logprobs.tokens or []) == text
        return sum((logprobs.token_logprobs or [])[1:])

    assert score("The capital of France is Paris") > score("The capital of France is Tokyo")


def test_a_prompt_over_the_context_is_a_clear_400(client: OpenAI) -> None:
    import openai

    with pytest.raises(openai.BadRequestError) as caught:
        _ask(client, messages=[{"role": "user", "content": "word " * 20_000}])
    assert caught.value.code == "context_too_long"


def test_embeddings_know_what_is_alike(client: OpenAI) -> None:
    texts = ["A cat sleeps.", "A kitten naps.", "The stock market fell."]
    data = client.embeddings.create(model=EMBEDDER, input=texts).data
    cat, kitten, market = (row.embedding for row in data)

    def cosine(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert cosine(cat, kitten) > cosine(cat, market) + 0.2


def test_requests_run_side_by_side(client: OpenAI) -> None:
    texts: list[str] = []

    def ask() -> None:
        texts.append(_text(_ask(client, stream=True)))

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(texts) == 4
    assert len(set(texts)) == 1


def test_a_client_that_leaves_frees_the_engine(client: OpenAI, server: Running) -> None:
    stream = _ask(client, stream=True, max_tokens=2000)
    next(iter(stream))
    assert _running(server) == 1
    stream.close()
    left = time.monotonic()
    while _running(server):
        assert time.monotonic() - left < 5
        time.sleep(0.05)


def _running(server: Running) -> int:
    engine: Any = server.app.status()["engine"]
    return int(engine["running"])
