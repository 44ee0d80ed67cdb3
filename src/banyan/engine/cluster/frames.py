"""Frames: what is said on a control connection. Plain records; ``control.py`` carries them.

    host -> head                                head -> host
    hello     HostReport: what this machine is   welcome, or refused: Refusal
    prepared  Prepared: ports of its ranks       prepare   Prepare: which ranks, at which address
    unable    Unable: why it has none
                                                 probe     Probe: measure the links to these hosts
    rank      RankNews: the state of one         start     Start: the formation
    beat      Beat: memory, progress of ranks    beat      (empty)
    leave     (empty)                            stop      Stop: which group is over

A host may have ranks in several groups (replicas), each known by its id.
What arrives is checked entry by entry (``said``); a peer's mistake is a ``ValueError``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from banyan.core.layout import DeviceFacts, from_json, to_json
from banyan.engine.comm.roster import Roster
from banyan.engine.formation import Formation
from banyan.engine.pulse import Progress
from banyan.engine.wire import Json

MAX_RANKS: Final = 64
"""Ranks one host may offer."""
MAX_CORES: Final = 1 << 16
MAX_MEMORY_BYTES: Final = 1 << 50
MAX_NAME: Final = 64
MAX_MESSAGE: Final = 4000
"""Longest reason that is kept of what a peer says."""
_DEVICE: Final = re.compile(r"cpu|cuda(:\d{1,2})?")

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """What a host says of itself when it joins. ``ranks`` are the processes it offers; ``instance``
    tells one run of ``banyan join`` from another, so that one that comes back is known again.
    ``measured``: what its device does, where it has measured that."""

    name: str
    ranks: int
    device: str
    cores: int
    memory_bytes: int
    instance: str = ""
    measured: DeviceFacts | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= MAX_NAME or not self.name.isprintable():
            raise ValueError(f"a host's name must have 1 to {MAX_NAME} printable characters")
        if not 0 < self.ranks <= MAX_RANKS:
            raise ValueError(f"{self.name!r} offers {self.ranks} ranks; 1 to {MAX_RANKS} can be")
        if not 0 < self.cores <= MAX_CORES or not 0 < self.memory_bytes <= MAX_MEMORY_BYTES:
            raise ValueError(f"{self.name!r} tells of {self.cores} cores, {self.memory_bytes} B")
        if not _DEVICE.fullmatch(self.device):
            raise ValueError(f"{self.name!r} computes on {self.device!r:.40}; cpu or cuda:0 can be")
        if len(self.instance) > MAX_NAME:
            raise ValueError("a host's instance is too long")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankState:
    """``state``: starting, connecting, loading, measuring, ready, failed or ended; ``message`` says
    why it failed or ended. ``symptom``: it only noticed that another rank is gone."""

    rank: int
    state: str
    message: str = ""
    pid: int = 0
    symptom: bool = False

    @property
    def is_over(self) -> bool:
        return self.state in ("failed", "ended")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankVitals:
    """What the process of a rank of ``group`` holds, and how far it has come."""

    rank: int
    rss_bytes: int
    progress: Progress = Progress()
    group: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.rss_bytes <= MAX_MEMORY_BYTES:
            raise ValueError(f"a process of {self.rss_bytes} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    report: HostReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """``address``: where the other hosts reach this one."""

    group: str
    ranks: tuple[int, ...]
    address: str

    def __post_init__(self) -> None:
        if not 0 < len(self.ranks) <= MAX_RANKS:
            raise ValueError(f"{len(self.ranks)} ranks are to be prepared")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """``roster`` has one member for each host; ``rank`` is this one's."""

    group: str
    roster: Roster
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RankPort:
    rank: int
    port: int

    def __post_init__(self) -> None:
        if not 0 < self.port < 1 << 16:
            raise ValueError(f"{self.port} is no port")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    group: str
    ports: tuple[RankPort, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unable:
    group: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    formation: Formation


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RankNews:
    """``group`` is the formation's; news of another group are of no interest any more."""

    group: str
    state: RankState


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A host lives: the memory it uses, and its ranks."""

    memory_used_bytes: int = 0
    ranks: tuple[RankVitals, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.memory_used_bytes <= MAX_MEMORY_BYTES or len(self.ranks) > MAX_RANKS:
            raise ValueError("a beat beyond all measure")


def frame(op: str, record: Any = None) -> Json:
    """The frame that says ``record``."""
    return {"op": op, **({} if record is None else to_json(record))}


def said(kind: type[Record], frame: Json) -> Record:
    """The record a frame says; raises ``ValueError``."""
    return from_json(kind, {name: value for name, value in frame.items() if name != "op"})
