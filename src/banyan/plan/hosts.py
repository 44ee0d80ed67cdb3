"""The hosts file: which machines there are, as its owner writes it down (TOML).

[head]                       # the machine that serves; optional
address = "10.0.0.1"
ranks = 1
tls = true                   # encrypt what hosts say to each other

[[host]]                     # one for each further machine
name = "attic"
address = "10.0.0.2"
ssh = "me@10.0.0.2"          # how to start it; without it, run `banyan join` there yourself
ranks = 1                    # processes that share the work: one per card, or one
device = "cpu"               # cpu, cuda, or a card's name for planning only
memory = "8GiB"

[link]                       # for planning without measuring
bandwidth = "1Gbit/s"
latency = "0.1ms"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from banyan.core.errors import InputError
from banyan.core.layout import LinkFacts

MAX_HOSTS: Final = 64
MAX_RANKS: Final = 64
DEFAULT_LINK: Final = LinkFacts(latency_s=1e-4, bandwidth=1e9 / 8)

_HEAD: Final = {"name", "address", "ranks", "device", "memory", "tls"}
_NUMBER: Final = r"^\s*(\d+(?:\.\d+)?)\s*"
_MEMORY: Final = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}
_BITS: Final = {"bit/s": 1, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9}
_SECONDS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """One machine. ``memory_bytes`` is what each of its ranks may use (0: not said)."""

    name: str
    address: str = ""
    ssh: str = ""
    ranks: int = 1
    device: str = "cpu"
    memory_bytes: int = 0
    command: str = "banyan"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsFile:
    """``head`` is the machine that serves, ``hosts`` all others; with ``tls`` they encrypt what
    they say to each other."""

    head: HostSpec
    hosts: tuple[HostSpec, ...]
    link: LinkFacts = DEFAULT_LINK
    tls: bool = False

    @property
    def all(self) -> tuple[HostSpec, ...]:
        return (self.head, *self.hosts)


def parse_hosts(text: str) -> HostsFile:
    """Read a hosts file. Raises ``InputError`` naming what is wrong."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"The hosts file is not TOML: {error}.") from None
    _known("the hosts file", table, {"head", "host", "link"})
    given = table.get("host", [])
    if not isinstance(given, list) or len(given) > MAX_HOSTS:
        raise InputError(f"[[host]] must be given 0 to {MAX_HOSTS} times.")
    own = _table("[head]", table.get("head", {}))
    _known("[head]", own, _HEAD)
    if not isinstance(own.get("tls", False), bool):
        raise InputError(f"tls of [head] is {own['tls']!r}; it must be true or false.")
    tls = own.pop("tls", False)
    head = _host({"name": "head", **own}, "[head]")
    hosts = tuple(_host(_table("[[host]]", each), f"host {i + 1}") for i, each in enumerate(given))
    for what, key in (("name", "name"), ("address", "address")):
        values = [getattr(host, key) for host in (head, *hosts) if getattr(host, key)]
        doubles = {value for value in values if values.count(value) > 1}
        if doubles:
            raise InputError(f"Two hosts have the {what} {min(doubles)!r}.")
    link = _link(_table("[link]", table.get("link", {})))
    return HostsFile(head=head, hosts=hosts, link=link, tls=tls)


def memory_bytes(text: str) -> int:
    """``8GiB`` or ``11 GB`` in bytes. Raises ``InputError``."""
    return int(_quantity(text, _MEMORY, "an amount of memory, such as 8GiB"))


def _host(table: Mapping[str, Any], where: str) -> HostSpec:
    names = {entry.name for entry in fields(HostSpec)} - {"memory_bytes"} | {"memory"}
    _known(where, table, names)
    if not isinstance(table.get("name"), str) or not table["name"]:
        raise InputError(f"{where} has no name.", remedy='Give it one: name = "attic".')
    name = table["name"]
    for key in ("address", "ssh", "device", "command"):
        if not isinstance(table.get(key, ""), str):
            raise InputError(f"{key} of {name} must be a text.")
    ranks = table.get("ranks", 1)
    if not isinstance(ranks, int) or isinstance(ranks, bool) or not 0 < ranks <= MAX_RANKS:
        raise InputError(f"ranks of {name} is {ranks!r}; it must lie between 1 and {MAX_RANKS}.")
    rest = {key: table[key] for key in table if key not in ("memory", "ranks")}
    memory = memory_bytes(table["memory"]) if "memory" in table else 0
    return HostSpec(**rest, ranks=ranks, memory_bytes=memory)


def _link(table: Mapping[str, Any]) -> LinkFacts:
    _known("[link]", table, {"bandwidth", "latency"})
    bandwidth = table.get("bandwidth", "1Gbit/s")
    latency = table.get("latency", "0.1ms")
    return LinkFacts(
        latency_s=_quantity(latency, _SECONDS, "a time, such as 0.1ms"),
        bandwidth=_quantity(bandwidth, _BITS, "a bandwidth, such as 1Gbit/s") / 8,
    )


def _quantity(text: object, units: Mapping[str, float], what: str) -> float:
    match = re.match(_NUMBER + r"([A-Za-z/]*)\s*$", text) if isinstance(text, str) else None
    if match is None or match[2] not in units or float(match[1]) == 0:
        raise InputError(f"{text!r} is not {what}.")
    return float(match[1]) * units[match[2]]


def _table(where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where} must be a table.")
    return value


def _known(where: str, table: Mapping[str, Any], names: set[str]) -> None:
    unknown = table.keys() - names
    if unknown:
        raise InputError(
            f"{where} has {min(unknown)!r}, which is not known.",
            remedy=f"Known are {', '.join(sorted(names))}.",
        )
