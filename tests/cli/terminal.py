"""A person at a terminal: a real process on a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

BANYAN = [sys.executable, "-m", "banyan.cli.main"]


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a process whose home is ``home``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BANYAN_")}
    return {**kept, "BANYAN_HOME": str(home), **more}


def on_terminal(
    arguments: list[str], env: dict[str, str], answers: Sequence[tuple[bytes, bytes]] = ()
) -> str:
    """What a person would see who types each answer after seeing its cue."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*BANYAN, *arguments], env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    waiting, seen, looked_at = list(answers), b"", 0
    while piece := _read(ours):
        seen += piece
        if waiting and waiting[0][0] in seen[looked_at:]:
            looked_at = len(seen)
            os.write(ours, waiting.pop(0)[1])
    os.close(ours)
    process.wait(10)
    return seen.decode("utf-8", "replace")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says so when the other end is closed
        return b""
