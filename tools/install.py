"""Create .venv and install Banyan into it; choose the torch that fits this machine.

Called by the Makefile as ``python3 tools/install.py engine|dev|small``; the standard library only.
On a machine without an NVIDIA device torch comes from PyTorch's CPU index, because the ordinary
index would send a CUDA build of several gigabytes; where that address does not answer at once the
configured index is used, and a plan that holds CUDA packages is announced before it is carried out.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
PIP = (str(PYTHON), "-m", "pip", "--disable-pip-version-check")
PINNED = ("--constraint", "constraints.txt")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PROBE_TIMEOUT_S = 3.0
EXTRAS = {"engine": "[engine]", "dev": "[dev]", "small": ""}


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 11):
        print(f"Banyan needs Python 3.11 or newer; this is {sys.version.split()[0]}.")
        print("→ Install one and run: make run PYTHON=python3.12")
        return 2
    if len(arguments) != 1 or arguments[0] not in EXTRAS:
        print("usage: tools/install.py engine|dev|small")
        return 2
    if not PYTHON.exists():
        print("Creating .venv ...", flush=True)
        venv.create(VENV, with_pip=True)
    if arguments[0] != "small" and not _installed("torch"):
        _install_torch()
    print("Installing Banyan and what it needs ...", flush=True)
    _pip("install", *PINNED, "--editable", f".{EXTRAS[arguments[0]]}")
    return 0


def _install_torch() -> None:
    if not _has_nvidia() and _answers(CPU_INDEX):
        print("Installing torch for the CPU ...", flush=True)
        _pip("install", *PINNED, "--index-url", CPU_INDEX, "torch")
        return
    if not _has_nvidia():
        _announce_cuda_packages()
    print("Installing torch from the configured index ...", flush=True)
    _pip("install", *PINNED, "torch")


def _announce_cuda_packages() -> None:
    """Say what a CUDA build would cost on a machine that has no use for it."""
    plan = subprocess.run(
        [*PIP, "install", "--dry-run", "--quiet", "--report", "-", *PINNED, "torch"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if plan.returncode != 0:
        return  # the installation itself will say why
    names = [entry["metadata"]["name"] for entry in json.loads(plan.stdout)["install"]]
    cuda = [name for name in names if name.startswith("nvidia-")]
    if cuda:
        print(f"This machine has no NVIDIA device, but torch would bring {len(cuda)} CUDA packages")
        print("(about 3 GB): the CPU index did not answer and the configured one has no CPU build.")
        print("→ To avoid it: stop now (Ctrl-C), then .venv/bin/pip install a CPU build of torch")
        print("  yourself, or install without the engine: python3 tools/install.py small")


def _has_nvidia() -> bool:
    return Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/torch/", timeout=PROBE_TIMEOUT_S) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _installed(package: str) -> bool:
    found = subprocess.run(
        [
            PYTHON,
            "-c",
            f"import importlib.util as u; raise SystemExit(u.find_spec('{package}') is None)",
        ]
    )
    return found.returncode == 0


def _pip(command: str, *arguments: str) -> None:
    quiet = () if sys.stdout.isatty() else ("--quiet",)  # a person sees pip's progress bars
    finished = subprocess.run([*PIP, command, *quiet, *arguments], cwd=ROOT)
    if finished.returncode != 0:
        print("→ pip failed; its message above says why. The same command goes on from there.")
        raise SystemExit(finished.returncode)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
