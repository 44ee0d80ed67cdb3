"""Futex: sleep until a word of shared memory changes; wake whoever sleeps on it (futex(2)).

Processes that share one core must not spin for each other, and pipes or event descriptors cost a
system call per sleeper; a futex wakes all of them with one. Linux only, through ctypes.
"""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

from banyan.core.errors import ClusterError

_NUMBERS: Final = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "ppc64le": 221, "s390x": 238}
_WAIT: Final = 0
_WAKE: Final = 1
_ALL: Final = 2**31 - 1


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


_libc = ctypes.CDLL(None, use_errno=True)
_number = _NUMBERS.get(platform.machine())


def wait(address: int, value: int, timeout_s: float) -> None:
    """Sleep while the uint32 at ``address`` is ``value``, at most ``timeout_s``; may wake early."""
    whole = int(timeout_s)
    limit = _Timespec(whole, int((timeout_s - whole) * 1e9))
    _call(address, _WAIT, value, ctypes.byref(limit))


def wake(address: int) -> None:
    """Wake everyone who sleeps on ``address``."""
    _call(address, _WAKE, _ALL, None)


def _call(address: int, operation: int, value: int, limit: object) -> None:
    if _number is None:
        raise ClusterError(
            f"Several ranks on one host need futexes, which are not known on {platform.machine()}.",
            remedy="Run one rank on this host.",
        )
    result = _libc.syscall(
        ctypes.c_long(_number),
        ctypes.c_void_p(address),
        ctypes.c_int(operation),
        ctypes.c_uint32(value),
        limit,
        None,
        0,
    )
    if result < 0 and ctypes.get_errno() not in (_EAGAIN, _EINTR, _ETIMEDOUT):
        raise ClusterError(f"A futex failed: {os.strerror(ctypes.get_errno())}.")


_EAGAIN: Final = 11
_EINTR: Final = 4
_ETIMEDOUT: Final = 110
