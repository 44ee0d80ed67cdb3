"""Peak: the most memory this process has taken, as the system has measured it.

In a memory control group with a limit (v2, or v1) it is the group's own record, page cache
included; elsewhere it is the most that was resident of the process.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GROUPS: Final = Path("/sys/fs/cgroup")
OWN: Final = Path("/proc/self/cgroup")
NO_LIMIT: Final = 1 << 60
"""What version 1 says where there is none is near 2^63."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """``limit`` 0: no control group, or none with a limit."""

    peak: int
    limit: int = 0


def measured_peak(groups: Path = GROUPS, own: Path = OWN) -> Peak:
    for limit_file, peak_file in _candidates(groups, own):
        try:
            limit = int(limit_file.read_text())
            peak = int(peak_file.read_text())
        except (OSError, ValueError):  # no such group, or "max"
            continue
        if limit < NO_LIMIT:
            return Peak(peak=peak, limit=limit)
    return Peak(peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def _candidates(groups: Path, own: Path) -> Iterator[tuple[Path, Path]]:
    """Where this process's group may keep its limit and its peak."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            folder = groups / path.lstrip("/")
            yield folder / "memory.max", folder / "memory.peak"
        elif "memory" in controllers.split(","):
            folder = groups / "memory" / path.lstrip("/")
            yield folder / "memory.limit_in_bytes", folder / "memory.max_usage_in_bytes"
