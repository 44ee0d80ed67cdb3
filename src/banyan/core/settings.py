"""The one table of settings, and the only reader of the environment.

Each setting is the field of ``Settings`` it is named after; ``BANYAN_`` and the name in capitals
is its environment variable. The same table makes the reference in the documentation.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from banyan.core.errors import InputError

PREFIX = "BANYAN_"
GIB = 1 << 30
MIB = 1 << 20


def _setting(default: Any, help_text: str) -> Any:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator may choose. Sizes are bytes, times are seconds."""

    home: Path = _setting(
        Path("~/.local/share/banyan"), "Folder that holds models, knowledge and keys."
    )
    host: str = _setting("127.0.0.1", "Address the server listens on; any but loopback needs keys.")
    port: int = _setting(8080, "Port the server listens on.")
    allowed_hosts: str = _setting(
        "", "Further Host headers the server accepts, separated by commas."
    )
    threads: int = _setting(0, "Threads for computing, shared by all processes; 0: every core.")
    precision: str = _setting("auto", "Arithmetic of the engine: auto, fp32, bf16 or packed.")
    kv_precision: str = _setting(
        "auto", "In what the engine keeps keys and values: auto (as it computes), bf16 or int8."
    )
    chat_model: str = _setting(
        "smollm2-135m-instruct", "Model that chats and scores passages when none is named."
    )
    answer_model: str = _setting(
        "", "Model that writes answers from passages; empty: the best sentences are quoted."
    )
    rerank: bool = _setting(True, "Rerank close English results by query likelihood.")
    kv_cache_bytes: int = _setting(512 * MIB, "Memory for the engine's KV cache.")
    device_memory_bytes: int = _setting(
        0, "Most memory a rank of a model takes; layers beyond it are streamed. 0: what it needs."
    )
    host_memory_bytes: int = _setting(
        0, "Most host memory a rank on a card takes for streamed layers. 0: what it needs."
    )
    max_batch_tokens: int = _setting(512, "Tokens the engine works on in one step.")
    max_sequences: int = _setting(32, "Sequences the engine runs at the same time.")
    max_waiting: int = _setting(256, "Requests that may wait for the engine.")
    idle_unload_s: float = _setting(600.0, "Seconds without use after which a model is unloaded.")
    request_timeout_s: float = _setting(300.0, "Longest time one request may take.")
    step_timeout_s: float = _setting(
        60.0, "How long a step over several machines may stand still before a rank counts as hung."
    )
    slice_cache_bytes: int = _setting(
        64 * GIB, "Most disk for parts of models that a cluster's head has sent to this machine."
    )
    max_streams: int = _setting(64, "Answers and generations the server works on at one time.")
    max_connections: int = _setting(512, "Connections the server keeps open at one time.")
    max_upload_bytes: int = _setting(200 * MIB, "Largest file that is accepted.")
    max_body_bytes: int = _setting(4 * MIB, "Largest JSON body that is accepted.")
    max_question_chars: int = _setting(4000, "Longest question that is accepted.")
    parse_timeout_s: float = _setting(30.0, "Longest time a parser may take for one file.")
    parse_memory_bytes: int = _setting(GIB, "Most memory a parser may take.")
    max_pages: int = _setting(5000, "Most pages (sheets, slides) read from one file.")
    max_document_chars: int = _setting(20_000_000, "Most text kept of one file.")

    def __post_init__(self) -> None:
        """Refuse numbers that no setting can have, by the name of the setting."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            low, high = _BOUNDS.get(entry.name, (_LEAST, math.inf))
            if not low <= value <= high or value == math.inf:
                raise InputError(
                    f"{PREFIX}{entry.name.upper()}={value} is out of range.",
                    remedy=f"For example: {entry.default}.",
                )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read ``BANYAN_*``; raise ``InputError`` for an unknown name or an unreadable value."""
        environment = os.environ if environment is None else environment
        known = {PREFIX + entry.name.upper(): entry for entry in fields(cls)}
        given: dict[str, Any] = {}
        for name, text in environment.items():
            if not name.startswith(PREFIX) or name in _NOT_SETTINGS:
                continue
            if name not in known:
                raise InputError(
                    f"{name} is not a setting.", remedy="`banyan doctor --settings` lists them all."
                )
            given[known[name].name] = _parse(name, text, known[name])
        return cls(**given).expanded()

    @property
    def staging(self) -> Path:
        """Where layers lie that are streamed from the disk."""
        return self.home / "staging"

    def expanded(self) -> Settings:
        return replace(self, home=self.home.expanduser())

    def environment(self) -> dict[str, str]:
        """This process's environment with these settings in it, for a child process."""
        own = {
            PREFIX + entry.name.upper(): str(getattr(self, entry.name)) for entry in fields(self)
        }
        return child_environment(**own)


_LEAST = 1e-3
_BOUNDS = {
    "port": (0, 65_535),
    "threads": (0, 1_024),
    "device_memory_bytes": (0, math.inf),
    "host_memory_bytes": (0, math.inf),
}
"""What a number may be at least and at most, where it is not just positive."""

_NOT_SETTINGS = {PREFIX + "REQUIRE", PREFIX + "TEST_HOME"}


def _parse(name: str, text: str, entry: Field[Any]) -> Any:
    kind: Any = type(entry.default)
    try:
        if kind is bool:
            return {"1": True, "true": True, "0": False, "false": False}[text.lower()]
        return Path(text) if issubclass(kind, Path) else kind(text)
    except (KeyError, ValueError):
        raise InputError(
            f"{name}={text!r} is not a {kind.__name__}.", remedy=f"For example: {entry.default}."
        ) from None


def table() -> list[tuple[str, object, str]]:
    """Every setting as (environment variable, default, help)."""
    return [
        (PREFIX + entry.name.upper(), entry.default, entry.metadata["help"])
        for entry in fields(Settings)
    ]


def child_environment(**changes: str) -> dict[str, str]:
    """This process's environment with ``changes``, for a child process that works for the user."""
    return {**os.environ, **changes}
