"""The wheel works away from the repository: in an empty environment, without the engine too."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGED = (
    "banyan/engine/native/four_bit.c",
    "banyan/engine/native/parallel.h",
    "banyan/server/console/index.html",
    "banyan/models/catalogue.toml",
    "banyan/knowledge/sample/en/what-banyan-is.md",
    "banyan/knowledge/sample/zh/what-banyan-is.md",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(target)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    return next(target.glob("*.whl"))


def test_the_wheel_holds_the_console_the_catalogue_and_the_sample(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert not [name for name in PACKAGED if name not in names]


def _install(wheel: Path, target: Path, extra: str) -> Path:
    venv.create(target, with_pip=True)
    pip = [str(target / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, *constraints, f"{wheel}{extra}"], check=True, capture_output=True)
    return target / "bin" / "banyan"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _first_answer(banyan: Path, home: Path) -> dict[str, object]:
    """Start the server away from the repository and return what it says of itself."""
    port = _free_port()
    environment = {"PATH": os.environ["PATH"], "BANYAN_HOME": str(home), "HOME": str(home)}
    server = subprocess.Popen(
        [str(banyan), "up", "--port", str(port)], cwd=home, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for _ in range(300):
            assert server.poll() is None, server.stderr.read() if server.stderr else ""
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health") as reply:
                    body: dict[str, object] = json.load(reply)
                break
            except OSError:
                time.sleep(0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as reply:
            assert b"Banyan" in reply.read()
        return body
    finally:
        server.terminate()
        server.communicate(timeout=10)


@pytest.mark.long
@pytest.mark.parametrize("extra", ["", "[engine]"], ids=["small", "engine"])
def test_an_empty_environment_serves_and_answers_from_the_wheel(
    wheel: Path, tmp_path: Path, extra: str
) -> None:
    banyan = _install(wheel, tmp_path / "venv", extra)
    home = tmp_path / "home"
    home.mkdir()
    assert _first_answer(banyan, home)["status"] == "ok"
    question = ["ask", "Which licence does Banyan use?", "--base", "sample", "--json"]
    asked = subprocess.run(
        [str(banyan), *question], cwd=home, capture_output=True, text=True, check=True,
        env={"PATH": os.environ["PATH"], "BANYAN_HOME": str(home), "HOME": str(home)},
    )  # fmt: skip
    assert "Apache" in asked.stdout
