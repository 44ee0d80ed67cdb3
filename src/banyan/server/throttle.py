"""Slows down whoever guesses keys: failures per address and minute, in bounded memory."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict, deque
from typing import Protocol

from banyan.core.errors import TooManyAttempts

MAX_FAILURES = 10
WINDOW_S = 60.0
MAX_ADDRESSES = 1024


class _Monotonic(Protocol):
    def __call__(self) -> float: ...


class Throttle:
    """Remembers failures; ``check`` raises once an address had ``MAX_FAILURES`` in ``WINDOW_S``.

    IPv6 clients are counted by their /64 network, which one household or machine owns whole. The
    address seen longest ago is forgotten when ``MAX_ADDRESSES`` are remembered.
    """

    def __init__(self, monotonic: _Monotonic = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise ``TooManyAttempts`` while the address is locked out."""
        failures = self._failures.get(_network(address))
        horizon = self._monotonic() - WINDOW_S
        if failures is not None and len(failures) == MAX_FAILURES and failures[0] > horizon:
            raise TooManyAttempts(
                f"{MAX_FAILURES} wrong keys within {WINDOW_S:.0f} seconds.",
                remedy="Wait a minute, then try again with the right key.",
            )

    def failed(self, address: str) -> None:
        """Count one wrong key."""
        failures = self._failures.setdefault(_network(address), deque(maxlen=MAX_FAILURES))
        failures.append(self._monotonic())
        self._failures.move_to_end(_network(address))
        while len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)

    @property
    def remembered(self) -> int:
        """Addresses in memory."""
        return len(self._failures)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
