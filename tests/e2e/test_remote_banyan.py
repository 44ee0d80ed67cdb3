"""One Banyan uses another as a model server: both ends of OpenAI's API meet over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.server.harness import Running, running
from tests.server.stubs import EndlessModel, RecordingModel, StubApp

from banyan.core.context import Context
from banyan.core.errors import RemoteModelFailed
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.fakes import HashEmbedder
from banyan.core.settings import Settings
from banyan.core.types import Message, Sampling
from banyan.models.connections import Connections
from banyan.models.remote import RemoteModel

ASK = [Message(role="user", content="hi there")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(StubApp(Settings(home=tmp_path / "server"))) as started:
        yield started


def test_every_option_of_a_chat_arrives_as_it_was_meant(server: Running) -> None:
    model = server.app.chats["tiny"]
    assert isinstance(model, RecordingModel)
    sampling = Sampling(
        max_tokens=7, temperature=0.5, top_k=3, top_p=0.9, min_p=0.1, repetition_penalty=1.2,
        presence_penalty=0.5, frequency_penalty=-0.5, stop=("x", "y"), seed=11, logprobs=2,
    )  # fmt: skip
    *tokens, done = RemoteModel(server.url, "tiny").chat(ASK, sampling, Context())
    assert "".join(t.text for t in tokens if isinstance(t, TokenReady)) == "echo: hi there"
    assert isinstance(done, GenerationDone)
    assert done.usage.total_tokens > 0
    assert all(token.logprobs for token in tokens if isinstance(token, TokenReady))
    assert replace(model.sampling[0], stop=tuple(model.sampling[0].stop)) == sampling


def test_a_raw_text_is_continued_with_its_echo(server: Running) -> None:
    sampling = Sampling(max_tokens=2, temperature=0, echo=True, logprobs=1)
    events = RemoteModel(server.url, "tiny").complete("Once", sampling, Context())
    text = "".join(event.text for event in events if isinstance(event, TokenReady))
    assert text == "Once and on"


def test_leaving_stops_the_other_banyans_work(server: Running) -> None:
    endless = EndlessModel()
    server.app.chats["tiny"] = endless
    events = RemoteModel(server.url, "tiny").chat(ASK, Sampling(), Context())
    next(events)
    events.close()  # type: ignore[attr-defined]  # it is a generator
    assert endless.cancelled.wait(5)


def test_an_unknown_model_comes_back_in_the_servers_words(server: Running) -> None:
    with pytest.raises(RemoteModelFailed, match="nope"):
        list(RemoteModel(server.url, "nope").chat(ASK, Sampling(), Context()))


def test_embeddings_are_those_of_the_other_side(server: Running, tmp_path: Path) -> None:
    connected = Connections(tmp_path).add(server.url, Context(), model="hash-64", name="far-embed")
    assert connected.kind == "embedding"
    embedder = Connections(tmp_path).get("far-embed").embedder()
    texts = ["one tree", "two trees"]
    near = HashEmbedder().embed(texts, Context())
    np.testing.assert_allclose(embedder.embed(texts, Context()), near, atol=1e-5)
