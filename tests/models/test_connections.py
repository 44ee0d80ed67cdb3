"""A connection is kept only after it answered, and its key is seen by nobody."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.models.gguf_bytes import gguf
from tests.models.openai_double import Exchange, models_of, openai_double, says

from banyan.core.context import Context
from banyan.core.errors import NotFound, RemoteModelFailed, StoreError, UnknownModel
from banyan.core.types import Message, Sampling
from banyan.models.connections import Connections
from banyan.models.discover import discover
from banyan.models.store import Store


def embeds(exchange: Exchange) -> None:
    texts = exchange.body["input"]
    assert isinstance(texts, list)
    rows = [{"index": i, "embedding": [3.0, 4.0 * i]} for i in range(len(texts))]
    exchange.reply({"data": rows[::-1]})


def test_a_server_is_tried_and_then_remembered(tmp_path: Path) -> None:
    with openai_double(models=models_of("org/Tall-7B:q4", "nomic-embed"), chat=says("Hey")) as it:
        connected = Connections(tmp_path).add(it.url, Context(), key="sk-1")
        again = Connections(tmp_path).get("tall-7b-q4")
        events = list(
            again.chat_model().chat([Message(role="user", content="x")], Sampling(), Context())
        )
    assert (connected.name, connected.sample) == ("tall-7b-q4", "Hey")
    assert connected.models == ("org/Tall-7B:q4", "nomic-embed")
    assert "sk-1" not in repr(connected)
    assert "sk-1" not in repr(again)
    assert "sk-1" not in str(again.public())
    assert len(events) == 2
    assert again.info().state == "remote"


def test_the_file_of_keys_is_for_its_owner_alone(tmp_path: Path) -> None:
    with openai_double(models=models_of("m"), chat=says("Hey")) as server:
        Connections(tmp_path).add(server.url, Context(), key="sk-1")
    mode = stat.S_IMODE((tmp_path / "connections.json").stat().st_mode)
    assert mode == 0o600
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"connections.json", ".connections.lock"}


def test_a_server_that_fails_its_test_is_not_kept(tmp_path: Path) -> None:
    with openai_double(models=models_of("m")) as server, pytest.raises(RemoteModelFailed):
        Connections(tmp_path).add(server.url, Context())
    assert Connections(tmp_path).list() == []


def test_a_server_without_a_model_says_so(tmp_path: Path) -> None:
    with openai_double(models=models_of()) as server, pytest.raises(NotFound, match="no model"):
        Connections(tmp_path).add(server.url, Context())


def test_a_server_that_lists_nothing_works_when_its_model_is_named(tmp_path: Path) -> None:
    with openai_double(chat=says("Hey")) as server:
        assert Connections(tmp_path).add(server.url, Context(), model="m").models == ()


def test_connecting_again_replaces_and_a_namesake_gets_a_number(tmp_path: Path) -> None:
    connections = Connections(tmp_path)
    with (
        openai_double(models=models_of("m"), chat=says("Hey")) as one,
        openai_double(models=models_of("m"), chat=says("Hey")) as two,
    ):
        connections.add(one.url, Context())
        connections.add(one.url, Context(), key="new")
        connections.add(two.url, Context())
    found = {entry.name: entry for entry in connections.list()}
    assert set(found) == {"m", "m-2"}
    assert found["m"].key == "new"


def test_a_connection_never_takes_the_name_of_a_model_of_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "qwen-7b.gguf"
    file.write_bytes(gguf("qwen2"))
    Store(tmp_path).add(file)
    with openai_double(models=models_of("Qwen-7B"), chat=says("Hi")) as server:
        assert Connections(tmp_path).add(server.url, Context()).name == "qwen-7b-2"


def test_connections_added_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    with openai_double(models=models_of("m"), chat=says("Hey")) as server:
        threads = [
            threading.Thread(
                target=lambda i=i: Connections(tmp_path).add(
                    server.url, Context(), model=f"m{i}", name=f"m{i}"
                )
            )
            for i in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {entry.name for entry in Connections(tmp_path).list()} == {f"m{i}" for i in range(8)}


def test_a_removed_connection_is_gone_and_an_unknown_one_has_near_names(tmp_path: Path) -> None:
    connections = Connections(tmp_path)
    with openai_double(models=models_of("mistral"), chat=says("Hey")) as server:
        connections.add(server.url, Context())
    with pytest.raises(UnknownModel, match="close to it: mistral"):
        connections.get("mistrall")
    connections.remove("mistral", Context())
    assert connections.list() == []


def test_a_broken_file_is_an_error_and_not_an_empty_list(tmp_path: Path) -> None:
    (tmp_path / "connections.json").write_text('{"connections": [{"nam')
    with pytest.raises(StoreError, match="cannot be read"):
        Connections(tmp_path).list()


def test_a_connected_embedder_gives_unit_vectors_in_order_and_skips_empty_texts(
    tmp_path: Path,
) -> None:
    with openai_double(models=models_of("nomic-embed"), embeddings=embeds) as server:
        connected = Connections(tmp_path).add(server.url, Context())
        embedder = Connections(tmp_path).get(connected.name).embedder()
        vectors = embedder.embed(["a", "  ", "b"], Context())
    assert connected.kind == "embedding"
    assert connected.sample == "2 dimensions"
    np.testing.assert_allclose(vectors, [[1, 0], [0, 0], [0.6, 0.8]], atol=1e-6)
    assert embedder.name == f"nomic-embed@127.0.0.1:{server.port}"


def test_discovery_finds_the_server_that_listens_and_no_other() -> None:
    with openai_double(models=models_of("m")) as server:
        found = discover(Context(), ports=(server.port, 1))
    assert [(entry.url, entry.models) for entry in found] == [(server.url, ("m",))]


def test_discovery_names_a_server_that_wants_a_key() -> None:
    with openai_double(models=lambda exchange: exchange.reply({}, 401)) as server:
        (found,) = discover(Context(), ports=(server.port,))
    assert found.models == ()
