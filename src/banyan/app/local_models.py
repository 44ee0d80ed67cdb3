"""What a model of this machine needs before it can be loaded: torch, its kind, the settings."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, cast

from banyan.core.errors import EngineMissing, InputError, UnknownModel
from banyan.core.settings import Settings
from banyan.engine.config import EngineConfig
from banyan.engine.encoder_adaptive import AdaptiveEncoder
from banyan.models.records import ModelKind
from banyan.models.store import Store

if TYPE_CHECKING:
    from banyan.engine.config import KvPrecision, Precision

MINILM = "all-minilm-l6-v2"
MINILM_DIMENSIONS = 384


def has_torch() -> bool:
    """Whether the extra ``engine`` is installed; does not import it."""
    return all(importlib.util.find_spec(name) for name in ("torch", "tokenizers", "jinja2"))


def check_engine(name: str) -> None:
    """Raise ``EngineMissing`` where the model ``name`` cannot be run for want of torch."""
    if not has_torch():
        raise EngineMissing(
            f"{name} needs the extra `engine` (torch), which is not installed.",
            remedy="pip install 'banyan-llm[engine]'",
        )


def check_kind(name: str, kind: ModelKind, wanted: ModelKind) -> None:
    """Raise ``InputError`` where a model is of another kind than wanted."""
    if kind != wanted:
        raise InputError(
            f"{name} is a model of the kind {kind}; this needs one of the kind {wanted}.",
            remedy="`banyan models list` says the kind of each.",
        )


def packaged_english(store: Store, settings: Settings) -> AdaptiveEncoder | None:
    """The packaged encoder for English, where it is installed and can run."""
    try:
        path = store.resolve(MINILM)
    except UnknownModel:
        return None
    if not has_torch():
        return None
    return AdaptiveEncoder(
        path, name=MINILM, dimensions=MINILM_DIMENSIONS, threads=settings.threads
    )


def engine_config(settings: Settings) -> EngineConfig:
    """What the settings say of the engine. Raises ``InputError`` for what it does not know."""
    return EngineConfig(
        precision=cast("Precision", settings.precision),  # EngineConfig refuses other words
        threads=settings.threads,
        kv_precision=cast("KvPrecision", settings.kv_precision),  # likewise
        kv_cache_bytes=settings.kv_cache_bytes,
        max_batch_tokens=settings.max_batch_tokens,
        max_sequences=settings.max_sequences,
        max_waiting=settings.max_waiting,
        device_memory=settings.device_memory_bytes,
        host_memory=settings.host_memory_bytes,
        staging=str(settings.staging),
    )
