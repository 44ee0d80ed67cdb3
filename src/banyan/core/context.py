"""Context: who asks, how long they will wait, whether they still care, and what happened."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field

from banyan.core.errors import Cancelled, DeadlineExceeded

PUBLIC = "public"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A person or program, and the labels of what it may see (None: every label)."""

    name: str = "local"
    labels: frozenset[str] | None = None

    def may_see(self, label: str) -> bool:
        return self.labels is None or label in self.labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One entry of a trace: what was done, for how long, and what came of it."""

    name: str
    seconds: float
    detail: dict[str, object]


@dataclass(slots=True)
class Trace:
    """The append-only record of one request."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    steps: list[Step] = field(default_factory=list)

    def record(self, name: str, started: float, **detail: object) -> None:
        """Append a step that began at ``started`` (a ``time.perf_counter()`` reading)."""
        self.steps.append(Step(name=name, seconds=time.perf_counter() - started, detail=detail))


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Travels with every request. ``deadline`` is a ``time.monotonic()`` reading or None."""

    principal: Principal = field(default_factory=Principal)
    base_id: str | None = None
    deadline: float | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    trace: Trace = field(default_factory=Trace)

    def check(self) -> None:
        """Raise ``Cancelled`` or ``DeadlineExceeded`` when there is no reason to go on."""
        if self.cancel.is_set():
            raise Cancelled("The request was cancelled.")
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise DeadlineExceeded("The request ran past its deadline.")
