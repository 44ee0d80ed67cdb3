"""Processes of `banyan serve` and `banyan join` as their owners run them: two machines answer, and
Ctrl-C and SIGTERM end them in each state without a traceback and with nothing left."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from tests.engine.cluster.toys import TOKEN, Toys, toys, use_toy_ranks, wait_until
from tests.engine.toy import write_toy

from banyan.core.errors import ClusterError
from banyan.models.store import Store

TOYS = "tests.e2e.toy_banyan"
TRUE = "banyan.cli.main"
START_S = 60.0
END_S = 20.0


class Banyan:
    """A ``banyan`` process, what it has said so far, and the processes it has started; its ranks
    are toys unless ``module`` is another."""

    def __init__(self, home: Path, *arguments: str, module: str = TOYS) -> None:
        self.said = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "BANYAN_HOME": str(home), "OMP_NUM_THREADS": "1"},
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def says(self, words: str) -> None:
        """Wait until it has said so."""
        wait_until(lambda: words in self.said, START_S)

    @property
    def children(self) -> list[psutil.Process]:
        return psutil.Process(self._process.pid).children(recursive=True)

    def end(self, number: int = signal.SIGINT) -> int:
        """Its exit code after that signal; none of its processes may be left."""
        children = self.children
        self._process.send_signal(number)
        try:
            code = self._process.wait(END_S)
        finally:
            self.kill()
        self._thread.join(END_S)
        _, left = psutil.wait_procs(children, timeout=END_S)
        assert left == []
        assert "Traceback" not in self.said
        return code

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        if self._process.stdout is not None:
            with self._process.stdout as lines:
                for line in lines:
                    self.said += line.decode()


@contextlib.contextmanager
def banyan(home: Path, *arguments: str, module: str = TOYS) -> Iterator[Banyan]:
    process = Banyan(home, *arguments, module=module)
    try:
        yield process
    finally:
        process.kill()


@contextlib.contextmanager
def worker(folder: Path, port: int, *more: str) -> Iterator[Banyan]:
    where = ("join", f"127.0.0.1:{port}", "--token", TOKEN, "--name", "attic")
    with banyan(folder / "worker", *where, *more) as process:
        yield process


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toys]:
    use_toy_ranks(monkeypatch)
    with toys(tmp_path, hosts=1) as found:
        yield found


@pytest.mark.long
def test_a_worker_that_connects_to_one_who_says_nothing_can_be_ended(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        worker(tmp_path, silent.getsockname()[1]) as attic,
    ):
        connection, _ = silent.accept()
        with connection:
            assert attic.end() == 130


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long)],
)
def test_a_worker_whose_ranks_compute_ends_them_and_leaves(
    cluster: Toys, tmp_path: Path, number: int, code: int
) -> None:
    with worker(tmp_path, cluster.head.port, "--ranks", "2") as attic:
        cluster.form(START_S)
        assert len(attic.children) == 2
        assert attic.end(number) == code
        wait_until(lambda: cluster.head.status().cause)
        assert "Host attic (127.0.0.1) is lost. It left the cluster." in cluster.head.status().cause


@pytest.mark.long
def test_a_worker_that_waits_for_the_others_can_be_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_toy_ranks(monkeypatch)
    with toys(tmp_path, hosts=2) as cluster, worker(tmp_path, cluster.head.port) as attic:
        attic.says("Joined")
        assert attic.end() == 130
        wait_until(lambda: cluster.head.missing == 2)


@pytest.mark.long
def test_a_worker_can_be_ended_while_the_group_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its listeners, and waits for a host that never has any."""
    use_toy_ranks(monkeypatch)
    with toys(tmp_path, hosts=2) as cluster, worker(tmp_path, cluster.head.port) as attic:
        attic.says("Joined")
        asked = threading.Event()
        cluster.liar("cellar", lambda channel, message: asked.set())
        failures: list[ClusterError] = []

        def form() -> None:
            try:
                cluster.form(START_S)
            except ClusterError as error:
                failures.append(error)

        forming = threading.Thread(target=form)
        forming.start()
        assert asked.wait(START_S)
        assert attic.end() == 130
        forming.join(START_S)
        assert len(failures) == 1


@pytest.mark.long
def test_a_worker_that_waits_for_its_head_to_come_back_can_be_ended(
    cluster: Toys, tmp_path: Path
) -> None:
    with worker(tmp_path, cluster.head.port) as attic:
        cluster.form(START_S)
        cluster.head.close()
        attic.says("Trying to join again")
        assert attic.children == []
        assert attic.end() == 130


@pytest.mark.long
def test_a_worker_that_was_started_over_ssh_leaves_when_that_hangs_up(
    cluster: Toys, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.e2e.toy_banyan", "join"]
    command += [f"127.0.0.1:{cluster.head.port}", "--token-stdin", "--leave-with-stdin"]
    process = subprocess.Popen(
        [*command, "--name", "attic"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "BANYAN_HOME": str(tmp_path / "worker")},
    )
    try:
        assert process.stdin is not None
        process.stdin.write(TOKEN.encode() + b"\n")
        process.stdin.flush()
        cluster.form(START_S)
        _, said = process.communicate(timeout=END_S)  # closes its standard input
        assert process.returncode == 0
        assert b"Traceback" not in said
        assert b"Fatal" not in said
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: "It left the cluster" in cluster.head.status().cause)


def serving(
    folder: Path, *more: str, module: str = TOYS
) -> contextlib.AbstractContextManager[Banyan]:
    home = folder / "home"
    if not home.exists():
        Store(home).add(write_toy(folder / "toy"), name="toy")
    ports = ("--port", "0", "--cluster-port", "0", "--cluster-address", "127.0.0.1")
    return banyan(home, "serve", "toy", *ports, *more, module=module)


def test_a_head_that_waits_for_hosts_can_be_ended(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "1") as head:
        head.says("banyan join 127.0.0.1:")
        assert head.end() == 130


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_head_can_be_ended_while_its_ranks_load(tmp_path: Path, number: int) -> None:
    with serving(tmp_path, "--local-ranks", "2") as head:
        wait_until(lambda: len(head.children) >= 2, START_S)
        assert head.end(number) == 128 + number


def completed(head: Banyan) -> str:
    """What the model behind a head writes."""
    head.says("Ctrl-C ends the server.")
    (url,) = re.findall(r"address +(http\S+)", head.said)
    (model,) = re.findall(r"model +(\S+)", head.said)
    body = {"model": model, "prompt": "abc", "max_tokens": 8, "temperature": 0}
    answer = httpx.post(f"{url}/completions", json=body, timeout=START_S)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["text"])


@pytest.mark.long
def test_two_machines_answer_under_tls_and_the_worker_comes_back_to_a_head_that_was_restarted(
    tmp_path: Path,
) -> None:
    """The worker has no copy of the model: its part is sent once, and the token stays the same."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    more = ("--workers", "1", "--tls", "--cluster-port", port)
    with serving(tmp_path, *more, module=TRUE) as head:
        head.says("--tls\n")
        (token,) = re.findall(r"--token (\S+) --tls", head.said)
        where = ("join", f"127.0.0.1:{port}", "--token", token, "--name", "attic", "--tls")
        with banyan(tmp_path / "worker", *where, module=TRUE) as attic:
            first = completed(head)
            assert head.end() == 0
            attic.says("Trying to join again")
            with serving(tmp_path, *more, module=TRUE) as again:
                assert completed(again) == first
                assert attic.said.count("Fetching") == 1
                assert attic.end() == 130
                assert again.end() == 0
