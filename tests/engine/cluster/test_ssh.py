"""Hosts that are started over ssh; ``ssh`` is a script that does here what it would do there."""

from __future__ import annotations

import shlex
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from tests.engine.cluster.toys import wait_until

from banyan.core.errors import HostUnreachable
from banyan.engine.cluster import ssh
from banyan.engine.cluster.ssh import RemoteHost
from banyan.plan.hosts import HostSpec

TOKEN = "a secret of the tests"
FAKE_SSH = """#!{python}
import os, subprocess, sys
arguments = sys.argv[1:]
place = arguments.index("--")
with open({log!r}, "w") as log:
    print(*arguments, sep="\\n", file=log)
sys.exit(subprocess.run(["sh", "-c", " ".join(arguments[place + 2:])]).returncode)
"""
WORKER = """#!{python}
import sys
print("token", sys.stdin.readline().strip())
print("arguments", *sys.argv[1:], sep="|", flush=True)
sys.stdin.read()
print("leaving", flush=True)
"""


@dataclass
class Told:
    """What was told of a host."""

    lines: list[str] = field(default_factory=list)
    ends: list[HostUnreachable] = field(default_factory=list)

    def remote(self, host: HostSpec, *, tls: bool = False) -> RemoteHost:
        return RemoteHost(
            host, "10.0.0.1:7946", TOKEN, self.lines.append, self.ends.append, tls=tls
        )

    def end(self) -> HostUnreachable:
        wait_until(lambda: self.ends)
        return self.ends[0]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the double of ssh writes its arguments; it is the one on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "arguments"
    script(folder / "ssh", FAKE_SSH.format(python=sys.executable, log=str(log)))
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return log


def script(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def worker(tmp_path: Path, log: Path) -> Path:
    """A double of banyan, in a folder whose name has to be quoted."""
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    return script(folder / "banyan", WORKER.format(python=sys.executable))


def spec(worker: Path, **changes: object) -> HostSpec:
    given: dict[str, object] = {
        "name": "attic",
        "ssh": "me@10.0.0.2",
        "command": shlex.quote(str(worker)),
    }
    return HostSpec(**{**given, **changes})  # type: ignore[arg-type]  # texts


def test_a_host_is_started_with_its_name_and_ranks_and_leaves_when_hung_up_on(
    told: Told, worker: Path
) -> None:
    remote = told.remote(spec(worker, name="two words", ranks=2, device="cuda:0"))
    wait_until(lambda: len(told.lines) >= 2)
    assert told.lines[0] == f"two words: token {TOKEN}"
    arguments = told.lines[1].removeprefix("two words: arguments|").split("|")
    assert arguments == [
        *("join", "10.0.0.1:7946", "--token-stdin", "--leave-with-stdin"),
        *("--name", "two words", "--ranks", "2", "--device", "cuda:0"),
    ]
    remote.close()
    wait_until(lambda: "two words: leaving" in told.lines)
    assert told.ends == []


def test_the_token_is_on_no_command_line(told: Told, worker: Path, log: Path) -> None:
    remote = told.remote(spec(worker))
    wait_until(lambda: told.lines)
    shown = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    assert any("join" in line for line in shown)
    assert not [line for line in shown if TOKEN in line]
    assert TOKEN not in log.read_text(encoding="utf-8")
    remote.close()


def test_ssh_never_asks_and_gives_up_in_time(told: Told, worker: Path, log: Path) -> None:
    remote = told.remote(spec(worker))
    wait_until(lambda: told.lines)
    options = log.read_text(encoding="utf-8").splitlines()
    assert {"BatchMode=yes", "ConnectTimeout=5", "ServerAliveInterval=5"} <= set(options)
    assert options[options.index("--") + 1] == "me@10.0.0.2"
    remote.close()


def test_a_host_that_looks_like_an_option_is_none(told: Told, worker: Path, log: Path) -> None:
    remote = told.remote(spec(worker, ssh="-oProxyCommand=touch /tmp/x"))
    wait_until(lambda: told.lines)
    options = log.read_text(encoding="utf-8").splitlines()
    assert options[options.index("--") + 1] == "-oProxyCommand=touch /tmp/x"
    remote.close()


def test_what_is_in_a_name_is_not_run(told: Told, worker: Path, tmp_path: Path) -> None:
    remote = told.remote(
        spec(worker, name=f"a; touch {tmp_path / 'run'} $(touch {tmp_path / 'run'})")
    )
    wait_until(lambda: len(told.lines) >= 2)
    assert not (tmp_path / "run").exists()
    remote.close()


def test_with_tls_the_host_is_told_so(told: Told, worker: Path) -> None:
    remote = told.remote(spec(worker), tls=True)
    wait_until(lambda: len(told.lines) >= 2)
    assert told.lines[1].endswith("|--tls")
    remote.close()


@pytest.mark.parametrize(
    ("status", "said", "words", "remedy"),
    [
        (255, "Host key verification failed.", "ssh could not reach attic", "ssh me@10.0.0.2 true"),
        (255, "connect to host 10.0.0.2 port 22: Connection refused", "Connection refused", "true"),
        (127, "not found", "attic has no command", "`command` in the hosts file"),
        (9, "error: The token is wrong.", "The token is wrong", ""),
        (0, "bye", r"attic ended \(0\): bye", ""),
    ],
    ids=["host-key", "refused", "no-banyan", "worker", "went"],
)
def test_each_end_has_its_own_message(
    told: Told, worker: Path, status: int, said: str, words: str, remedy: str
) -> None:
    script(worker, f"#!/bin/sh\necho '{said}'\nexit {status}\n")
    remote = told.remote(spec(worker))
    error = told.end()
    with pytest.raises(HostUnreachable, match=words):
        raise error
    assert remedy in error.remedy
    assert f"attic: {said}" in told.lines
    remote.close()


def test_without_ssh_the_remedy_says_what_to_do(
    told: Told, worker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(HostUnreachable, match="ssh cannot be started") as refused:
        told.remote(spec(worker))
    assert "banyan join" in refused.value.remedy


def test_a_host_that_does_not_leave_is_not_waited_for_for_ever(
    told: Told, worker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "GOODBYE_S", 0.2)
    script(worker, "#!/bin/sh\necho here\nexec sleep 1\n")
    remote = told.remote(spec(worker))
    wait_until(lambda: told.lines)
    closing = threading.Thread(target=remote.close)
    closing.start()
    closing.join(2)
    assert not closing.is_alive()
    remote._thread.join(10)  # what it has left behind still holds the pipe
    assert told.ends == []
