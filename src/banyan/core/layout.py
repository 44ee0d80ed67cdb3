"""The words of planning and of a cluster: what a model is made of, what machines can do, who does
what. Plain records; the arithmetic over them is ``plan/``.

Sizes are bytes, times seconds, rates per second. ``to_json`` and ``from_json`` carry any of these
records over a wire and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from types import UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

DeviceKind = Literal["cpu", "cuda"]
Objective = Literal["throughput", "ttft", "itl"]


MAX_RATE: Final = 1e18
"""Nothing reads, computes or sends more per second."""
MAX_LATENCY_S: Final = 3600.0
MAX_PRECISIONS: Final = 8
WIDE_ROWS: Final = 6
"""As with torch's kernel for packed weights."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The whole numbers begin, begin + 1 ... end - 1."""

    begin: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.begin


Others = tuple[tuple[str, str], ...]
"""Matrices of a layer (q k v o gate up down) that a four-bit file does not have in four bits, each
with what it is computed in instead: ``int8`` or ``bf16``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """So many numbers of a row lie in so many bytes of a file."""

    numbers: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A decoder's sizes. ``experts`` 0: dense; otherwise ``ffn`` is the width of one expert.

    ``windows[i]`` is how many positions layer i sees (None: all); empty means all, everywhere.
    Known of a file only: ``others[i]`` of layer i (empty: all are alike), ``head_kind`` the same of
    the head, ``table_block`` how the token table lies in it.
    """

    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool = False
    experts: int = 0
    experts_per_token: int = 0
    windows: tuple[int | None, ...] = ()
    qkv_bias: bool = False
    output_bias: bool = False
    ffn_bias: bool = False
    qk_norm: bool = False
    sandwich_norms: bool = False
    others: tuple[Others, ...] = ()
    head_kind: str = ""
    table_block: Block | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One rank's part of a model: the layers of its stage, and of each of them the query heads,
    the feed-forward columns and the experts; of both ends the rows of the vocabulary.

    ``kv_heads`` are the key-value heads it keeps, in order; one may stand there twice, so that
    every one of them serves equally many of the rank's query heads.
    """

    layers: Interval
    heads: Interval
    kv_heads: tuple[int, ...]
    ffn: Interval
    vocab: Interval
    experts: Interval = Interval(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Ranks that split the same layers by tensor parallel; ``shares[i]`` is for ``ranks[i]``."""

    ranks: tuple[int, ...]
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one model lies on ranks 0 .. n - 1: stages one after the other, ``replicas`` times over
    (then the stages are those of one replica, and the others are alike on other ranks)."""

    stages: tuple[Stage, ...]
    replicas: int = 1

    @property
    def name(self) -> str:
        """``tp4``, ``pp2``, ``pp2 x tp4``, ``8 replicas``."""
        tensor = max(len(stage.ranks) for stage in self.stages)
        parts = [f"{self.replicas} replicas"] if self.replicas > 1 else []
        parts += [f"pp{len(self.stages)}"] if len(self.stages) > 1 else []
        parts += [f"tp{tensor}"] if tensor > 1 else []
        return " x ".join(parts) or "one rank"

    @property
    def ranks(self) -> int:
        return sum(len(stage.ranks) for stage in self.stages)

    def share(self, rank: int) -> Share:
        """The share of ``rank``, which must be in a stage."""
        stage = self.stages[self.stage(rank)]
        return stage.shares[stage.ranks.index(rank)]

    def stage(self, rank: int) -> int:
        """The number of the stage that ``rank`` is in."""
        return next(i for i, stage in enumerate(self.stages) if rank in stage.ranks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What a device attained in one precision (``kind``, as in ``plan/sizes.py``): bytes of weights
    that a decoding step reads per second, and operations per second of a prompt's rows."""

    kind: str
    weight_bandwidth: float
    flops: float

    def __post_init__(self) -> None:
        _check_rates(self.weight_bandwidth, self.flops)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """What one rank computes with: a card, or its part of a host's cores and memory.

    ``measured`` are its rates in the precisions that were measured there; ``weight_bandwidth`` and
    ``flops`` are assumed of it in any other. ``copy_bandwidth``: host memory (for a CPU: the disk)
    to the device. ``layer_overhead_s``: fixed cost of a layer beside its products. ``wide_rows``:
    rows of a step from which the bf16 copy beside packed weights is read instead of them.
    """

    kind: DeviceKind
    memory_bytes: int
    weight_bandwidth: float
    flops: float
    copy_bandwidth: float
    layer_overhead_s: float = 2e-4
    name: str = ""
    measured: tuple[Rates, ...] = ()
    wide_rows: int = WIDE_ROWS

    def __post_init__(self) -> None:
        """Raises ``ValueError`` for what no device can do: facts may be a peer's."""
        _check_rates(self.weight_bandwidth, self.flops, self.copy_bandwidth)
        if not 0 <= self.layer_overhead_s <= MAX_LATENCY_S or self.memory_bytes < 0:
            raise ValueError("a device of impossible memory or overhead")
        if self.wide_rows < 1:
            raise ValueError(f"a copy that is read from {self.wide_rows} rows on")
        if len(self.measured) > MAX_PRECISIONS:
            raise ValueError(f"rates in {len(self.measured)} precisions")

    def rates(self, kind: str) -> Rates:
        """Its rates in a precision: measured ones where there are any."""
        found = next((rates for rates in self.measured if rates.kind == kind), None)
        return found or Rates(kind=kind, weight_bandwidth=self.weight_bandwidth, flops=self.flops)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFacts:
    """One direction of a connection: seconds for an empty message, and bytes per second."""

    latency_s: float
    bandwidth: float
    is_measured: bool = False

    def __post_init__(self) -> None:
        _check_rates(self.bandwidth)
        if not 0 <= self.latency_s <= MAX_LATENCY_S:
            raise ValueError(f"a latency of {self.latency_s} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """A machine: its devices, one per rank, and how its ranks reach each other."""

    name: str
    devices: tuple[DeviceFacts, ...]
    local: LinkFacts
    memory_bytes: int = 0
    cores: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is measured of machines, or assumed. ``links[i][j]`` is from host i to host j (i == j:
    that host's local)."""

    hosts: tuple[HostFacts, ...]
    links: tuple[tuple[LinkFacts, ...], ...]

    def __post_init__(self) -> None:
        count = len(self.hosts)
        if not count or not all(host.devices for host in self.hosts):
            raise ValueError("no hosts, or one without devices")
        if len(self.links) != count or any(len(row) != count for row in self.links):
            raise ValueError(f"links that are not those of {count} hosts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Tokens of a prompt and of an answer, and how many requests run at a time."""

    prompt: int = 512
    generate: int = 128
    concurrency: int = 32
    objective: Objective = field(default="throughput")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """How a model shall be spread over hosts, as an operator says it.

    ``workers`` hosts must join at ``address``:``port``, those of ``names`` where any are given;
    ``local_ranks`` run on this one. ``step_timeout_s``: how long a step may stand still.
    ``algorithm``: auto or a collective's name; ``payload``: exact, bf16 or int8 across hosts;
    ``layout``: auto (best for the ``objective``), tp (all ranks split every layer) or pp (each host
    has consecutive layers). ``replicas`` copies of the model, each ``pp`` stages of ``tp`` ranks;
    0: left open. ``tls``: all that hosts say to each other is encrypted.
    """

    workers: int
    address: str
    port: int = 0
    token: str = ""
    names: tuple[str, ...] = ()
    local_ranks: int = 1
    device: str = "cpu"
    algorithm: str = "auto"
    payload: str = "exact"
    layout: str = "auto"
    tp: int = 0
    pp: int = 0
    replicas: int = 0
    objective: Objective = "itl"
    step_timeout_s: float = 60.0
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What each rank of a host may take of its device, and of the host's memory beside it, in bytes
    (0: what it needs). ``staging`` is the folder for layers that pass through."""

    device: int = 0
    host: int = 0
    staging: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How a host joins. ``address`` and ``port`` are the head's; with ``tls`` a head without is
    refused. ``slice_cache_bytes``: most disk for parts of models that a head has sent."""

    address: str
    port: int
    token: str
    name: str
    ranks: int = 1
    device: str = "cpu"
    tls: bool = False
    slice_cache_bytes: int = 64 << 30
    budget: Budget = Budget()


def _check_rates(*rates: float) -> None:
    if not all(0 < rate <= MAX_RATE for rate in rates):
        raise ValueError(f"{rates} are not rates per second")


Record = TypeVar("Record")


def to_json(record: Any) -> dict[str, Any]:
    """A record of this file, or any made of such and of plain values, as JSON values."""
    return asdict(record)


def from_json(kind: type[Record], value: Mapping[str, Any]) -> Record:
    """The record that ``to_json`` turned into ``value``.

    Raises ``ValueError`` for a missing, unknown or ill-typed entry: the value may be a peer's.
    """
    hints = get_type_hints(kind)
    names = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    if not isinstance(value, Mapping) or not value.keys() <= names:
        raise ValueError(f"{value!r:.80} is no {kind.__name__}")
    try:
        return kind(**{name: _decoded(hints[name], entry) for name, entry in value.items()})
    except TypeError as error:
        raise ValueError(str(error)) from None


def _decoded(hint: Any, value: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return from_json(hint, value)  # type: ignore[arg-type]  # is_dataclass says it is a type
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{value!r:.80} is no list")
        return tuple(_decoded(arguments[0], entry) for entry in value)
    if origin in (Union, UnionType):
        if value is None and type(None) in arguments:
            return None
        return _decoded(next(kind for kind in arguments if kind is not type(None)), value)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{value!r:.80} is none of {arguments}")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ValueError(f"{value!r:.80} is no {hint.__name__}")
    return value
