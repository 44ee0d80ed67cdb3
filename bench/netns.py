"""Hosts on one machine: network namespaces joined by a switch, each link held to a bandwidth.

Needs root and iproute2. netem is not used (it is absent where this was written): the bandwidth is a
token bucket on both ends of every link, and propagation delay has to be added by whoever receives.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

BURST_BYTES = 16 << 10
"""A larger burst would let short messages pass at memory speed."""
QUEUE_MS = 50
PREFIX = "by"
"""Names of namespaces begin with this and the process id of who made them."""
TERMINATED = 143


@dataclass(frozen=True)
class Host:
    """One namespace and its address on the switch."""

    name: str
    address: str

    def popen(
        self, command: Sequence[str], *, cpus: Sequence[int] = (), **options: object
    ) -> subprocess.Popen[bytes]:
        """Start ``command`` inside, on ``cpus`` alone where they are named."""
        pinned = ["taskset", "-c", ",".join(map(str, cpus))] if cpus else []
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]  # options pass through
            [*_enter(self.name), *pinned, *command], **options
        )


def available() -> bool:
    """Whether namespaces can be made here."""
    return os.geteuid() == 0 and shutil.which("ip") is not None and shutil.which("tc") is not None


@contextmanager
def hosts(count: int, *, bandwidth_bit_s: float | None = 1e9) -> Iterator[list[Host]]:
    """``count`` hosts on one switch, each link limited in both directions (None: not at all).

    Everything is removed at the end, whatever happens in between, SIGTERM included; what a run that
    was killed has left goes at the next start.
    """
    sweep()
    prefix = f"{PREFIX}{os.getpid()}"
    switch = f"{prefix}sw"
    made = [Host(f"{prefix}h{i}", f"10.77.0.{i + 1}") for i in range(count)]
    with _terminable():
        yield from _hosts(made, switch, bandwidth_bit_s)


def sweep() -> None:
    """Remove the namespaces of processes that are no more."""
    listed = subprocess.run(["ip", "netns", "list"], check=False, capture_output=True, text=True)
    for line in listed.stdout.splitlines():
        match = re.match(PREFIX + r"(\d+)(sw|h\d+)\b", line)
        if match is not None and not os.path.exists(f"/proc/{match[1]}"):
            _remove(match[0])


def _hosts(made: list[Host], switch: str, bandwidth_bit_s: float | None) -> Iterator[list[Host]]:
    try:
        _run("ip", "netns", "add", switch)
        _run(*_enter(switch), "ip", "link", "add", "br0", "type", "bridge")
        _run(*_enter(switch), "ip", "link", "set", "br0", "up")
        for number, host in enumerate(made):
            _attach(host, switch, f"port{number}", bandwidth_bit_s)
        yield made
    finally:
        for name in (*(host.name for host in made), switch):
            _remove(name)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM unwinds the block, so that what it has made is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _attach(host: Host, switch: str, port: str, bandwidth_bit_s: float | None) -> None:
    _run("ip", "netns", "add", host.name)
    inside = _enter(host.name)
    ends = ["ip", "link", "add", "eth0", "netns", host.name, "type", "veth"]
    _run(*ends, "peer", "name", port, "netns", switch)
    _run(*inside, "ip", "address", "add", f"{host.address}/24", "dev", "eth0")
    _run(*inside, "ip", "link", "set", "lo", "up")
    _run(*inside, "ip", "link", "set", "eth0", "up")
    _run(*_enter(switch), "ip", "link", "set", port, "master", "br0")
    _run(*_enter(switch), "ip", "link", "set", port, "up")
    if bandwidth_bit_s is not None:
        _limit(inside, "eth0", bandwidth_bit_s)
        _limit(_enter(switch), port, bandwidth_bit_s)


def _limit(inside: Sequence[str], device: str, bandwidth_bit_s: float) -> None:
    # Segments that fit the bucket pass whole, as a network card would cut them by itself; cutting
    # them into packets here would cost the processor more than the rank's own work.
    _run(*inside, "ip", "link", "set", "dev", device, "gso_max_size", str(BURST_BYTES - 1024))
    rate = f"{int(bandwidth_bit_s)}bit"
    bucket = ["rate", rate, "burst", str(BURST_BYTES), "latency", f"{QUEUE_MS}ms"]
    _run(*inside, "tc", "qdisc", "add", "dev", device, "root", "tbf", *bucket)


def _remove(namespace: str) -> None:
    subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


def _enter(namespace: str) -> list[str]:
    return ["ip", "netns", "exec", namespace]


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
