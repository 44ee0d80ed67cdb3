"""How much memory this program has needed at most, without what its parent needed.

``getrusage`` alone will not do: across fork and exec the kernel keeps the peak of the process that
forked, so a parser started by a large server would seem as large as the server.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """The peak of resident memory since this program was executed."""
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return used_bytes(resource.getrusage(resource.RUSAGE_SELF))
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), 0)


def used_bytes(usage: resource.struct_rusage) -> int:
    """``ru_maxrss`` in bytes; it is in kilobytes but on macOS."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
