"""Connections: the servers a home knows, in ``<home>/connections.json``, readable by its owner
alone because it holds keys."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from banyan.core.context import Context
from banyan.core.errors import (
    NotFound,
    RemoteKeyRefused,
    RemoteModelFailed,
    StoreError,
    UnknownModel,
)
from banyan.core.events import TokenReady
from banyan.core.types import Message, ModelInfo, Sampling
from banyan.models.catalogue import catalogue, close_to
from banyan.models.discover import LocalServer, discover
from banyan.models.endpoint import Endpoint, endpoint
from banyan.models.exchange import fetch_json
from banyan.models.lock import exclusive
from banyan.models.records import ModelKind, check_name, model_name
from banyan.models.remote import RemoteModel, list_models
from banyan.models.remote_embedder import RemoteEmbedder, embeddings
from banyan.models.store import Store

TEST_PROMPT = "Say hello in one short sentence."
TEST_TOKENS = 32
_EMBEDDING_WORDS = ("embed", "bge-", "minilm", "e5-", "gte-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A model behind an OpenAI-compatible server. ``model`` is the name that server knows."""

    name: str
    url: str
    model: str
    kind: ModelKind
    dimensions: int = 0
    key: str = field(default="", repr=False)

    def chat_model(self) -> RemoteModel:
        return RemoteModel(self.url, self.model, self.key)

    def embedder(self) -> RemoteEmbedder:
        return RemoteEmbedder(self.url, self.model, self.key, dimensions=self.dimensions)

    def info(self) -> ModelInfo:
        note = f"{self.model} at {self.url}"
        return ModelInfo(name=self.name, kind=self.kind, state="remote", owner=self.url, note=note)

    def public(self) -> dict[str, object]:
        """The connection as JSON, with ``has_key`` in place of the key."""
        return {**{k: v for k, v in asdict(self).items() if k != "key"}, "has_key": bool(self.key)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A connection that answered, without its key: its name here, the models its server has and
    what ``model`` said to the test."""

    name: str
    url: str
    model: str
    kind: ModelKind
    models: tuple[str, ...]
    sample: str


class Connections:
    """The connections of one home."""

    def __init__(self, home: Path) -> None:
        self._file = home / "connections.json"
        self._lock = home / ".connections.lock"
        self._store = Store(home)

    def list(self) -> list[Connection]:
        if not self._file.exists():
            return []
        try:
            body = json.loads(self._file.read_text("utf-8"))
            return [Connection(**entry) for entry in body["connections"]]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreError(
                f"{self._file} cannot be read: {type(error).__name__}.",
                remedy="Mend it, or delete it and connect the servers again.",
            ) from None

    def get(self, name: str) -> Connection:
        known = {connection.name: connection for connection in self.list()}
        if name not in known:
            raise UnknownModel(
                f"No connected model is called {name!r}{close_to(name, known)}.",
                remedy="`banyan models connect URL` connects one.",
            )
        return known[name]

    def add(
        self, url: str, context: Context, *, model: str = "", key: str = "", name: str = ""
    ) -> Connected:
        """Try the server with a real call and remember it; nothing is kept when that fails.

        ``model`` empty takes the server's first (one that writes, where there is one).
        """
        to = endpoint(url, key)
        models = list_models(to, context) if not model else _listed(to, context)
        chosen = model or _choose(to, models)
        connection = Connection(
            name=check_name(name) if name else model_name(chosen),
            url=to.url,
            model=chosen,
            kind="embedding" if _embeds(chosen) else "chat",
            key=key,
        )
        connection, sample = _try(connection, to, context)
        connection = self._keep(connection, context, named=bool(name))
        return Connected(
            name=connection.name,
            url=connection.url,
            model=connection.model,
            kind=connection.kind,
            models=tuple(models),
            sample=sample,
        )

    def discover(self, context: Context) -> Sequence[LocalServer]:
        """The servers on this machine's usual ports, connected or not."""
        return discover(context)

    def remove(self, name: str, context: Context) -> Connection:
        with exclusive(self._lock, context):
            removed = self.get(name)
            self._write([known for known in self.list() if known.name != name])
        return removed

    def _keep(self, connection: Connection, context: Context, *, named: bool) -> Connection:
        """Store it in place of an older one of the same server and model, or of the same name
        where the name was asked for; never under the name of a model of this machine."""
        with exclusive(self._lock, context):
            same = (connection.url, connection.model)
            others = [known for known in self.list() if (known.url, known.model) != same]
            if named:
                others = [known for known in others if known.name != connection.name]
            here = {model.name for model in self._store.installed()}
            taken = {known.name for known in others} | here | set(catalogue())
            free, number = connection.name, 2
            while free in taken:
                free, number = f"{connection.name}-{number}", number + 1
            connection = replace(connection, name=free)
            self._write([*others, connection])
        return connection

    def _write(self, connections: Sequence[Connection]) -> None:
        body = {"connections": [asdict(connection) for connection in connections]}
        partial = self._file.with_name(f".connections.{uuid.uuid4().hex}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8") as stream:
                json.dump(body, stream, indent=2, ensure_ascii=False)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(self._file)
        finally:
            partial.unlink(missing_ok=True)


def _listed(to: Endpoint, context: Context) -> list[str]:
    """The server's models where it lists them; with a model named, it need not."""
    with suppress(RemoteModelFailed):
        return list_models(to, context)
    return []


def _choose(to: Endpoint, models: Sequence[str]) -> str:
    if not models:
        raise NotFound(
            f"{to.host} has no model loaded.",
            remedy="Load one there, or name it with `--model NAME`.",
        )
    return next((name for name in models if not _embeds(name)), models[0])


def _embeds(model: str) -> bool:
    return any(word in model.lower() for word in _EMBEDDING_WORDS)


def _try(connection: Connection, to: Endpoint, context: Context) -> tuple[Connection, str]:
    """Call it as what its name suggests, and as the other kind where that fails.

    Returns the connection with the kind that worked and what it said; raises the first failure.
    """
    tests = {"chat": _try_chat, "embedding": _try_embedding}
    likely, other = connection.kind, "embedding" if connection.kind == "chat" else "chat"
    try:
        return tests[likely](connection, to, context)
    except RemoteModelFailed as failure:
        if isinstance(failure, RemoteKeyRefused):
            raise
        with suppress(RemoteModelFailed):
            return tests[other](connection, to, context)
        raise


def _try_chat(connection: Connection, to: Endpoint, context: Context) -> tuple[Connection, str]:
    events = connection.chat_model().chat(
        [Message(role="user", content=TEST_PROMPT)],
        Sampling(max_tokens=TEST_TOKENS, temperature=0.0),
        context,
    )
    said = "".join(event.text for event in events if isinstance(event, TokenReady))
    return replace(connection, kind="chat"), said.strip()


def _try_embedding(
    connection: Connection, to: Endpoint, context: Context
) -> tuple[Connection, str]:
    body = {"model": connection.model, "input": [TEST_PROMPT]}
    vectors = embeddings(fetch_json(to, "embeddings", context, body))
    if vectors is None or not vectors.size:
        raise RemoteModelFailed(f"{to.host} answered without embeddings.")
    dimensions = int(vectors.shape[1])
    found = replace(connection, kind="embedding", dimensions=dimensions)
    return found, f"{dimensions} dimensions"
