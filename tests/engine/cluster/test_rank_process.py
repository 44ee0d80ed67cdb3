"""Why a rank's process has ended, in words for whoever runs the cluster."""

from __future__ import annotations

import signal

import pytest

from banyan.engine.cluster.rank_process import why_ended


@pytest.mark.parametrize(
    ("status", "tail", "words"),
    [
        (0, b"", "before its time"),
        (3, b"", "exit status 3"),
        (1, b"Traceback:\n  here\nOSError: no such device\n\n", "last words: OSError: no such"),
        (-signal.SIGKILL, b"", "SIGKILL: most likely the host ran out of memory"),
        (-signal.SIGSEGV, b"", "SIGSEGV"),
        (-signal.SIGABRT, b"what(): bad_alloc\n", "SIGABRT. Its last words: what(): bad_alloc"),
        (-int(signal.SIGRTMIN) - 3, b"", f"signal {int(signal.SIGRTMIN) + 3}"),
        (1, b"\xff\xfe", "exit status 1"),
        (1, b"x" * 2000, "x" * 200),
    ],
    ids=["clean", "status", "traceback", "oom", "segv", "abort", "real-time", "no-utf8", "long"],
)
def test_an_end_is_put_into_words(status: int, tail: bytes, words: str) -> None:
    assert words in why_ended(status, tail)
    assert len(why_ended(status, tail)) < 300
