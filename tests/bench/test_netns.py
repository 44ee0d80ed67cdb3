"""Benches that emulate hosts by network namespaces leave none behind, however they end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conftest import skip_or_fail

BENCH = Path(__file__).parents[2] / "bench"
HOLD = "import netns, time\nwith netns.hosts(2):\n    print('up', flush=True)\n    time.sleep(60)\n"
SWEEP = "import netns\nnetns.sweep()\n"

pytestmark = pytest.mark.netns


@pytest.fixture(autouse=True)
def _can_make_namespaces() -> None:
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("tc") is None:
        skip_or_fail("netns", "namespaces need root and iproute2")
    tried = subprocess.run(["ip", "netns", "add", f"by{os.getpid()}sw"], check=False)
    subprocess.run(["ip", "netns", "del", f"by{os.getpid()}sw"], check=False, capture_output=True)
    if tried.returncode:
        skip_or_fail("netns", "namespaces cannot be made here")


def _hear_interrupts() -> None:
    """What a shell starts in the background ignores them, and passes that on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def holding() -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds two hosts until it is ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        cwd=BENCH,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_hear_interrupts,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process
    finally:
        process.terminate()
        process.communicate()


def left_of(process: subprocess.Popen[bytes]) -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True)
    return [line for line in listed.stdout.splitlines() if line.startswith(f"by{process.pid}")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_is_ended_removes_its_hosts(number: int) -> None:
    with holding() as process:
        assert len(left_of(process)) == 3
        process.send_signal(number)
        assert process.wait(20) != 0
        assert left_of(process) == []


def test_what_a_killed_one_has_left_goes_at_the_next_start_and_nothing_else() -> None:
    with holding() as killed, holding() as alive:
        killed.kill()
        killed.wait(20)
        assert len(left_of(killed)) == 3
        subprocess.run([sys.executable, "-c", SWEEP], cwd=BENCH, check=True)
        assert left_of(killed) == []
        assert len(left_of(alive)) == 3
