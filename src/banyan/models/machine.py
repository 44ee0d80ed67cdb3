"""Facts about this machine that decide what runs on it; nothing here needs torch."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

NVIDIA_TIMEOUT_S = 10.0
_SHOWN_SETS = {
    "avx2": "AVX2",
    "fma": "FMA",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX-512 BF16",
    "amx_bf16": "AMX BF16",
    "amx_int8": "AMX INT8",
    "asimd": "NEON",
    "bf16": "BF16",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """``memory_bytes`` 0 where the driver did not say."""

    name: str
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """``cores`` and the memory are what this process may use, containers' limits included.

    ``nvidia_driver`` with no ``gpus`` means a driver whose devices could not be listed.
    """

    system: str
    python: str
    processor: str
    cores: float
    instruction_sets: tuple[str, ...]
    memory_bytes: int
    memory_available_bytes: int
    disk_free_bytes: int
    nvidia_driver: bool
    gpus: tuple[Gpu, ...]


def machine_facts(home: Path) -> Machine:
    """Look at the machine; ``home`` chooses the disk."""
    processor, flags = _processor(Path("/proc/cpuinfo"))
    memory = psutil.virtual_memory()
    limit, used = _memory_limit(Path("/sys/fs/cgroup"))
    total = min(memory.total, limit)
    gpus = _gpus()
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        processor=processor or platform.processor() or platform.machine(),
        cores=_cores(Path("/sys/fs/cgroup")),
        instruction_sets=tuple(name for flag, name in _SHOWN_SETS.items() if flag in flags),
        memory_bytes=total,
        memory_available_bytes=min(memory.available, max(0, total - used)),
        disk_free_bytes=shutil.disk_usage(_existing(home)).free,
        nvidia_driver=bool(gpus) or Path("/proc/driver/nvidia/version").exists(),
        gpus=gpus,
    )


def process_memory(roles: Mapping[str, str]) -> list[dict[str, object]]:
    """This process and its children with their resident memory; ``roles`` names a child by a text
    in its command line."""
    own = psutil.Process()
    found: list[dict[str, object]] = []
    for process in [own, *own.children(recursive=True)]:
        try:
            line = "" if process.pid == own.pid else " ".join(process.cmdline())
            named = (role for text, role in roles.items() if text in line)
            name = next(named, "other") if line else "server"
            found.append({"name": name, "rss_bytes": process.memory_info().rss})
        except psutil.Error:
            continue  # it ended while we looked
    return found


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def _processor(cpuinfo: Path) -> tuple[str, frozenset[str]]:
    """Its name and feature flags as Linux lists them (x86 ``flags``, ARM ``Features``)."""
    name, flags = "", frozenset[str]()
    with suppress(OSError):
        for line in cpuinfo.read_text("utf-8", "replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and not name:
                name = value.strip()
            if key.strip().lower() in {"flags", "features"} and not flags:
                flags = frozenset(value.split())
    return name, flags


def _cores(cgroup: Path) -> float:
    """Cores this process may use: its affinity, cut by the container's quota (cgroup v2)."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = (cgroup / "cpu.max").read_text().split()
        if quota != "max":
            return min(float(allowed), int(quota) / int(period))
    return float(allowed)


def _memory_limit(cgroup: Path) -> tuple[int, int]:
    """The container's memory limit and what it uses, of cgroup v2 or v1; no limit: maxsize, 0.

    Cached files that the kernel would drop first do not count as used, as psutil counts too.
    """
    for limit, used, stat, dropped in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_inactive_file",
        ),
    ):
        with suppress(OSError, ValueError):
            most, current = int((cgroup / limit).read_text()), int((cgroup / used).read_text())
            return most, current - _counter(cgroup / stat, dropped)
    return sys.maxsize, 0


def _counter(stat: Path, name: str) -> int:
    """One number of a file of ``name number`` lines; 0 where it is not in it."""
    with suppress(OSError, ValueError):
        for line in stat.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0


def _gpus() -> tuple[Gpu, ...]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(
            query, capture_output=True, text=True, timeout=NVIDIA_TIMEOUT_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(_gpu(line) for line in listed.splitlines() if line.strip())


def _gpu(line: str) -> Gpu:
    name, _, mebibytes = line.rpartition(",")
    size = mebibytes.strip()
    return Gpu(name=name.strip(), memory_bytes=int(size) << 20 if size.isdigit() else 0)


def _existing(path: Path) -> Path:
    """The nearest folder above a path that may not exist yet."""
    return next(folder for folder in [path, *path.absolute().parents] if folder.exists())
