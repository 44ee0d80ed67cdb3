"""App: settings in, wired objects out. See the package."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import TYPE_CHECKING

from banyan.app.ingest import IngestWorker
from banyan.app.local_models import (
    MINILM,
    check_engine,
    check_kind,
    engine_config,
    packaged_english,
)
from banyan.core.context import Context
from banyan.core.errors import EngineMissing, UnknownModel
from banyan.core.layout import ClusterOptions, ModelShape, WorkerOptions
from banyan.core.ports import ChatModel, Embedder, TextModel, TextScorer
from banyan.core.settings import Settings
from banyan.core.types import ModelInfo
from banyan.engine.cluster.cluster import Cluster, OnEvent, join_head, planned
from banyan.engine.cluster.replicas import Replicas
from banyan.engine.encoder_adaptive import load_without_torch
from banyan.engine.process import EngineProcess
from banyan.knowledge.embed import MULTILINGUAL, Embedders, Multilingual
from banyan.knowledge.library import Library
from banyan.knowledge.parse.limits import ParseLimits
from banyan.models.connections import Connection, Connections
from banyan.models.machine import machine_facts, process_memory
from banyan.models.records import InstalledModel
from banyan.models.remote import RemoteModel
from banyan.models.store import Store
from banyan.plan.matrices import WeightKind

if TYPE_CHECKING:
    from pathlib import Path

WATCH_INTERVAL_S = 2.0
ROLES = {
    "banyan.app": "ingest",
    "banyan.engine.cluster": "rank",
    "banyan.engine": "engine",
    "banyan.knowledge": "parser",
}
"""What the processes of the product do, by their modules."""


class App:
    """Everything the product can do, wired from one ``Settings``; ``close`` it when done."""

    def __init__(self, settings: Settings, *, answer_model: str | None = None) -> None:
        """Open the store; load and start nothing. Raises ``StoreError``, ``SchemaMismatch``.

        ``answer_model`` takes the place of the one that was chosen, for this process alone.
        """
        self.settings = settings
        self._given_answer_model = answer_model
        self.store = Store(settings.home)
        self.connections = Connections(settings.home)
        self._multilingual = Multilingual()
        self._english = packaged_english(self.store, settings)
        self._engines: dict[str, EngineProcess | Replicas] = {}
        self.cluster: Cluster | None = None
        self._encoders: dict[Path, Embedder] = {}
        self._worker: IngestWorker | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._choice = settings.home / "answer_model"
        self._cluster_folder = settings.home / "cluster"
        self.library = Library(
            settings.home / "knowledge",
            embedders=Embedders(multilingual=self._multilingual, english=self._english),
            limits=ParseLimits.of(settings),
            scorer=self.scorer,
            writer=self.writer,
        )

    def close(self) -> None:
        """End every process this one started."""
        self._closed.set()
        if self._worker is not None:
            self._worker.close()
        with self._lock:
            for engine in self._engines.values():
                engine.close()
        if self.cluster is not None:
            self.cluster.close()
        self.library.close()

    # Models

    def models(self) -> list[ModelInfo]:
        """What can be named: installed and connected models; knowledge bases are not among them."""
        installed = [self._info(model) for model in self.store.installed()]
        return [*installed, *(connection.info() for connection in self.connections.list())]

    def chat_model(self, name: str) -> ChatModel:
        """The model that chats under ``name`` (or lies at that path); it loads at its first use.

        Raises ``UnknownModel``, ``InputError`` for one that embeds, and ``EngineMissing`` for a
        local one without torch.
        """
        return self._writing(name)

    def text_model(self, name: str) -> TextModel:
        """As ``chat_model``, for raw text."""
        return self._writing(name)

    def embedder(self, name: str) -> Embedder:
        """The embedder ``name``; raises as ``chat_model`` does, ``InputError`` for one that chats.

        Also raises ``CheckpointInvalid`` and ``UnsupportedModel``, for it loads at once.
        """
        if name in (MULTILINGUAL, "use-multilingual-v3"):
            return self._multilingual
        if name == MINILM and self._english is not None:
            return self._english
        connection = self._connection(name)
        if connection is not None:
            check_kind(name, connection.kind, "embedding")
            return connection.embedder()
        path = self.store.resolve(name)
        check_kind(name, self.store.get(name).kind, "embedding")
        check_engine(name)
        with self._lock:
            if path not in self._encoders:
                self._encoders[path] = load_without_torch(path)
            return self._encoders[path]

    def remove_model(self, name: str, context: Context) -> Connection | InstalledModel:
        """Forget a connection or a model, and unload it; raises ``UnknownModel``, ``InputError``.

        If it was chosen to write answers, they are quoted again.
        """
        removed = (
            self.store.remove(name)
            if self._connection(name) is None
            else self.connections.remove(name, context)
        )
        with self._lock:
            engine = self._engines.pop(name, None)
        if engine is not None:
            engine.close()
        if self.answer_model == name:
            self.set_answer_model("")
        return removed

    def scorer(self) -> TextScorer | None:
        """What reranks: the packaged chat model, where reranking is on and the model is loaded.

        A question does not wait for it to load; the ones after it profit.
        """
        if not self.settings.rerank:
            return None
        try:
            engine = self._engine(self.settings.chat_model)
        except (UnknownModel, EngineMissing):
            return None
        engine.start()
        return engine if engine.state == "ready" else None

    def writer(self) -> ChatModel | None:
        """What writes answers; None where the best sentences are quoted."""
        return self.chat_model(self.answer_model) if self.answer_model else None

    @property
    def answer_model(self) -> str:
        """The name of the model that writes answers, or an empty string."""
        if self._given_answer_model is not None:
            return self._given_answer_model
        if self._choice.exists():
            return self._choice.read_text(encoding="utf-8").strip()
        return self.settings.answer_model

    def set_answer_model(self, name: str) -> None:
        """Choose it for this and later starts; raises ``UnknownModel``."""
        if name:
            self.chat_model(name)
        self.settings.home.mkdir(parents=True, exist_ok=True)
        self._choice.write_text(name + "\n", encoding="utf-8")

    def planned(self, name: str) -> tuple[ModelShape, WeightKind]:
        """The sizes of a model and what it is usually computed in; reads no weights. Raises
        ``UnknownModel``."""
        return planned(self.store.resolve(name))

    def spread(self, name: str, options: ClusterOptions, on_event: OnEvent) -> Cluster:
        """Run the chat model ``name`` on the hosts that join; it begins to form at once.

        Raises as ``chat_model`` does, and ``HostUnreachable`` when hosts cannot join here.
        """
        path, config = self._chat_path(name), engine_config(self.settings)
        self.cluster = Cluster(path, name, config, options, self._cluster_folder, on_event)
        with self._lock:
            self._engines[name] = self.cluster.engine
        return self.cluster

    def join(self, worker: WorkerOptions, context: Context, on_event: OnEvent) -> None:
        """Serve a head as one of its hosts until ``context`` is cancelled; see ``join_head``."""
        check_engine("A rank of a cluster")
        join_head(worker, self.store.resolve, self._cluster_folder, context, on_event)

    # Processes

    def start_ingest_worker(self) -> None:
        """Start the process that adds uploaded files, the sample first; it ends with this one.

        From then on this process leaves torch to the others.
        """
        if self._english is not None:
            self._english.may_import_torch = False
        self._worker = IngestWorker(self.settings)
        threading.Thread(target=self._keep_worker, name="keep worker", daemon=True).start()

    def warm_up(self) -> None:
        """Begin to load what the first question will need, without waiting for it."""
        self.scorer()
        threading.Thread(target=self._multilingual.load, name="warm up", daemon=True).start()

    def status(self) -> dict[str, object]:
        """Machine, memory and speed, as JSON values."""
        machine = machine_facts(self.settings.home)
        return {
            "machine": asdict(machine),
            "memory": {
                "total_bytes": machine.memory_bytes,
                "available_bytes": machine.memory_available_bytes,
                "processes": process_memory(ROLES),
            },
            "engine": self._engine_status(),
        }

    def _connection(self, name: str) -> Connection | None:
        return next((known for known in self.connections.list() if known.name == name), None)

    def _writing(self, name: str) -> RemoteModel | EngineProcess | Replicas:
        connection = self._connection(name)
        if connection is None:
            return self._engine(name)
        check_kind(name, connection.kind, "chat")
        return connection.chat_model()

    def _chat_path(self, name: str) -> Path:
        path = self.store.resolve(name)
        for model in self.store.installed():
            check_kind(name, model.kind if model.name == name else "chat", "chat")
        check_engine(name)
        return path

    def _engine(self, name: str) -> EngineProcess | Replicas:
        path = self._chat_path(name)
        with self._lock:
            if name not in self._engines:
                self._engines[name] = EngineProcess(
                    path,
                    engine_config(self.settings),
                    idle_unload_s=self.settings.idle_unload_s,
                )
            return self._engines[name]

    def _info(self, model: InstalledModel) -> ModelInfo:
        engine = self._engines.get(model.name)
        state = engine.state if engine is not None else "installed"
        return ModelInfo(
            name=model.name,
            kind=model.kind,
            state=state if model.present else "missing",
            context_length=model.context_length,
            size_bytes=model.size_bytes,
            licence=model.licence,
            note=model.purpose,
        )

    def _engine_status(self) -> dict[str, object]:
        for name, engine in list(self._engines.items()):
            stats = engine.stats
            if stats is not None:
                return {
                    "state": engine.state,
                    "model": name,
                    "tokens_per_second": round(stats.decode_tokens_per_s, 1),
                    "prompt_tokens_per_second": round(stats.prefill_tokens_per_s, 1),
                    "running": stats.running,
                    "waiting": stats.waiting,
                    "precision": stats.precision,
                    "memory": "" if stats.memory is None else stats.memory.choice,
                }
        return {"state": "idle", "model": "", "tokens_per_second": 0.0}

    def _keep_worker(self) -> None:
        while not self._closed.wait(WATCH_INTERVAL_S):
            if self._worker is not None:
                self._worker.ensure_running()
