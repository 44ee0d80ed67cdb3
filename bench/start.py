"""How quickly Banyan starts and answers: processes from cold, and a server that is warm.

    make bench-start

``cold`` rows start a new process each time (its files are in the page cache); ``seconds`` is the
median of the runs, ``rss_bytes`` the largest process, ``install_bytes`` the environment's size.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from table import Row, report

BANYAN = str(Path(sys.executable).with_name("banyan"))
QUESTIONS = (
    "Which licence does Banyan use?",
    "How much memory do the weights of a 7 billion parameter model take in 16 bits?",
    "What is perplexity?",
    "自带的对话模型能用中文聊天吗？",
    "怎样备份一个知识库？",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="home with pulled models")
    parser.add_argument("--data", type=Path, help="not used here")
    parser.add_argument("--full", action="store_true", help="more runs")
    options = parser.parse_args()
    runs = 15 if options.full else 5
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "models").symlink_to((options.home / "models").resolve())
        report("start", [*_cold(home, runs), *_warm(home, runs)])


def _cold(home: Path, runs: int) -> list[Row]:
    python = [sys.executable, "-c"]
    ask = [BANYAN, "ask", QUESTIONS[0], "--base", "sample", "--json"]
    _run([*ask], home)  # makes the sample's index, which is not part of a cold start
    commands = {
        "import banyan": [*python, "import banyan"],
        "banyan --help": [BANYAN, "--help"],
        "banyan ask": ask,
        "import torch": [*python, "import torch"],
    }
    size = _folder_bytes(Path(sys.prefix))
    rows: list[Row] = []
    for name, command in commands.items():
        measured = [_run(command, home) for _ in range(runs)]
        rows.append(_row(name, True, [s for s, _ in measured], max(r for _, r in measured), size))
    return rows


def _warm(home: Path, runs: int) -> list[Row]:
    size = _folder_bytes(Path(sys.prefix))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.perf_counter()
    server = subprocess.Popen(
        [BANYAN, "up", "--port", str(port)], env=_environment(home), stdout=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _until(lambda: _get(f"{url}/api/health"))
        ready = time.perf_counter() - began
        first = _seconds(lambda: _ask(url, QUESTIONS[0]))
        chat = _seconds(lambda: _chat(url))
        warm = [_seconds(lambda q=q: _ask(url, q)) for _ in range(runs) for q in QUESTIONS]
        rss = _tree_rss(server.pid)
    finally:
        server.terminate()
        server.wait(timeout=10)
    return [
        _row("banyan up: health answers", True, [ready], rss, size),
        _row("first answer after it", True, [first], rss, size),
        _row("first chat token (model loads)", True, [chat], rss, size),
        _row("an answer when warm", False, warm, rss, size),
        _row("slowest answer when warm", False, [max(warm)], rss, size),
    ]


def _row(command: str, cold: bool, seconds: list[float], rss: int, size: int) -> Row:
    return {
        "command": command,
        "cold": cold,
        "seconds": round(statistics.median(seconds), 3),
        "rss_bytes": rss,
        "install_bytes": size,
    }


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "BANYAN_HOME": str(home)}


def _run(command: list[str], home: Path) -> tuple[float, int]:
    """Seconds and peak resident bytes of one process."""
    began = time.perf_counter()
    child = subprocess.Popen(command, env=_environment(home), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    return time.perf_counter() - began, usage.ru_maxrss * 1024


def _tree_rss(pid: int) -> int:
    """Resident bytes of the server and all its children together."""
    import psutil

    root = psutil.Process(pid)
    return sum(p.memory_info().rss for p in [root, *root.children(recursive=True)])


def _until(probe: Callable[[], object], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            probe()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit("the server did not answer")


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url) as reply:
        return bytes(reply.read())


def _post(url: str, body: object) -> bytes:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as reply:
        return bytes(reply.read())


def _ask(url: str, question: str) -> bytes:
    return _post(f"{url}/api/ask", {"base": "sample", "question": question})


def _chat(url: str) -> bytes:
    message = {"role": "user", "content": "Say hello."}
    return _post(
        f"{url}/v1/chat/completions",
        {"model": "smollm2-135m-instruct", "messages": [message], "max_tokens": 1},
    )


def _folder_bytes(folder: Path) -> int:
    du = shutil.which("du")
    if du is None:
        return sum(path.lstat().st_size for path in folder.rglob("*"))
    printed = subprocess.run([du, "-sb", str(folder)], capture_output=True, text=True, check=True)
    return int(printed.stdout.split()[0])


if __name__ == "__main__":
    main()
