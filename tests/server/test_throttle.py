"""Guessing is slowed by time and address, in bounded memory."""

from __future__ import annotations

import pytest

from banyan.core.errors import TooManyAttempts
from banyan.core.fakes import ManualClock
from banyan.server.throttle import MAX_ADDRESSES, MAX_FAILURES, WINDOW_S, Throttle


def _fail(throttle: Throttle, address: str, times: int = MAX_FAILURES) -> None:
    for _ in range(times):
        throttle.check(address)
        throttle.failed(address)


def test_an_address_is_locked_out_after_its_failures_and_let_in_again_later() -> None:
    clock = ManualClock()
    throttle = Throttle(clock.monotonic)
    _fail(throttle, "10.0.0.1")
    with pytest.raises(TooManyAttempts):
        throttle.check("10.0.0.1")
    throttle.check("10.0.0.2")
    clock.sleep(WINDOW_S + 1)
    throttle.check("10.0.0.1")


def test_slow_failures_lock_nobody_out() -> None:
    clock = ManualClock()
    throttle = Throttle(clock.monotonic)
    for _ in range(3 * MAX_FAILURES):
        _fail(throttle, "10.0.0.1", 1)
        clock.sleep(WINDOW_S / (MAX_FAILURES - 1))


def test_one_ipv6_network_counts_as_one_guesser() -> None:
    throttle = Throttle(ManualClock().monotonic)
    for number in range(MAX_FAILURES):
        throttle.failed(f"2001:db8::{number:x}")
    with pytest.raises(TooManyAttempts):
        throttle.check("2001:db8::ffff")
    throttle.check("2001:db8:0:1::1")


def test_memory_is_bounded_whatever_addresses_come() -> None:
    throttle = Throttle(ManualClock().monotonic)
    for number in range(3 * MAX_ADDRESSES):
        throttle.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        throttle.failed("x" * 10_000 + str(number))
    assert throttle.remembered == MAX_ADDRESSES
