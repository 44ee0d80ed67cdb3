"""Calibration: this host's own rates, measured once and kept with what identifies the machine.

The measuring is done by a process of its own, ``python -m banyan.engine.cluster.calibration
DEVICE``, so that a host's supervisor needs no torch. A machine that was busy then looks slow ever
after: remove ``device-*.json`` from the folder, and the next start measures anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import psutil

from banyan import __version__
from banyan.core.layout import DeviceFacts, from_json, to_json
from banyan.engine.child import SPIN_COUNT
from banyan.engine.config import CPUINFO, available_cores
from banyan.engine.native.library import COMPILERS

COMMAND: Final = (sys.executable, "-P", "-m", "banyan.engine.cluster.calibration")
CALIBRATE_S: Final = 120.0
"""How long measuring may take; a few seconds are usual."""
CARDS: Final = Path("/proc/driver/nvidia/gpus")
MAX_FILE_BYTES: Final = 1 << 16


def own_device(
    folder: Path, device: str, on_event: Callable[[str], None] = lambda _: None
) -> DeviceFacts | None:
    """What the whole ``device`` of this machine does, from ``folder`` or measured now. None, and
    the reason told, where it cannot be measured: planning then assumes."""
    path = folder / f"device-{_identity(device)}.json"
    known = _read(path)
    if known is not None:
        return known
    on_event(f"Measuring what this machine does on {device}, once; it takes a few seconds.")
    try:
        found = _measured(device)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        on_event(f"It could not be measured, so its rates will be assumed. {error}")
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(to_json(found)), encoding="utf-8")
    return found


def _measured(device: str) -> DeviceFacts:
    done = subprocess.run(
        [*COMMAND, device], capture_output=True, check=True, timeout=CALIBRATE_S, text=True
    )
    return from_json(DeviceFacts, json.loads(done.stdout))


def _read(path: Path) -> DeviceFacts | None:
    try:
        with path.open(encoding="utf-8") as file:
            return from_json(DeviceFacts, json.loads(file.read(MAX_FILE_BYTES)))
    except (OSError, ValueError):
        return None  # absent or damaged: measured anew


def _identity(device: str) -> str:
    """Changes with the machine's processor, cores, memory and cards, and with what computes."""
    parts = [
        device,
        __version__,
        _torch(),
        *filter(None, map(shutil.which, COMPILERS)),
        _model_of_processor(),
        str(available_cores()),
        str(psutil.virtual_memory().total),
        *sorted(_first_line(path) for path in CARDS.glob("*/information")),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _torch() -> str:
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""


def _model_of_processor() -> str:
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return next((line for line in text.splitlines() if line.startswith("model name")), "")


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except OSError:
        return ""


def main() -> None:
    """Print the facts of the device that the first argument names, as JSON."""
    os.putenv("GOMP_SPINCOUNT", SPIN_COUNT)  # as in ranks; torch reads it when it is loaded
    from banyan.engine.calibrate import calibrated

    sys.stdout.write(json.dumps(to_json(calibrated(sys.argv[1]))))


if __name__ == "__main__":
    main()
