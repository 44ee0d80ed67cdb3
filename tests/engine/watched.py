"""Engines over one tiny model that counts what it computes and fails when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.engine.toy import LAYERS

from banyan.core.context import Context
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.types import Sampling
from banyan.engine import reference
from banyan.engine.config import EngineConfig, KvPrecision
from banyan.engine.engine import Engine
from banyan.engine.model import Model, load_model
from banyan.engine.runner import alone
from banyan.engine.template import ChatTemplate
from banyan.engine.tokenizer import Tokenizer

GREEDY = Sampling(temperature=0, max_tokens=24)


class Watched:
    """The model, counting what it computes, and failing when it is told to."""

    def __init__(self, model: Model) -> None:
        self.config, self.dtype, self.size_bytes = model.config, model.dtype, model.size_bytes
        self.memory, self.kv_way = model.memory, model.kv_way
        self.tokens = 0
        self.sequences_in_steps: list[int] = []
        self.fails_with: Exception | None = None
        self.spoils_last_of: int | None = None
        self.gate = threading.Event()
        self.gate.set()
        self._model = model

    def close(self) -> None:
        self._model.close()

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


class Bench:
    """Engines over one watched model, closed at the end."""

    def __init__(self, folder: Path) -> None:
        self.reference = load_model(folder, "fp32", 1)
        self.model = Watched(self.reference)
        self.tokenizer = Tokenizer.load(folder)
        self.template = ChatTemplate.load(folder)
        self.engines: list[Engine] = []

    def engine(
        self, *, pages: int = 200, kv_precision: KvPrecision = "auto", **limits: int
    ) -> Engine:
        of_head = 8 + 2 if kv_precision == "int8" else 8 * 4
        config = EngineConfig(
            precision="fp32",
            threads=1,
            page_size=4,
            kv_precision=kv_precision,
            kv_cache_bytes=pages * 2 * LAYERS * 4 * 2 * of_head,
            **{"max_batch_tokens": 32, "max_sequences": 8, **limits},
        )
        engine = Engine(alone(self.model, config), self.tokenizer, self.template, config)
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

    def close(self) -> None:
        self.model.gate.set()
        for engine in self.engines:
            engine.close()


def text_of(events: Iterator[TokenReady | GenerationDone]) -> str:
    return "".join(event.text for event in events if isinstance(event, TokenReady))


def write(engine: Engine, prompt: str, sampling: Sampling = GREEDY) -> str:
    return text_of(engine.complete(prompt, sampling, Context()))


def all_at_once(engine: Engine, prompts: list[str], sampling: Sampling = GREEDY) -> list[str]:
    with ThreadPoolExecutor(len(prompts)) as pool:
        return list(pool.map(lambda prompt: write(engine, prompt, sampling), prompts))
