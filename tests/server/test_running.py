"""A server process: it starts, says where, and ends cleanly and soon on a signal."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from banyan.core.errors import Conflict, InputError
from banyan.server.keys import KeyRing
from banyan.server.running import listen

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from banyan.core.settings import Settings
from banyan.server.main import serve
from tests.server.stubs import BlockedModel, EndlessModel, StubApp

app = StubApp(Settings(home=Path(sys.argv[1]), host=sys.argv[2], port=0))
app.chats |= {"endless": EndlessModel(), "blocked": BlockedModel()}
serve(app, ready=lambda address: print(address.url, address.new_key, flush=True))
print("closed", flush=True)
"""


class Server:
    """The program above, running."""

    def __init__(self, home: Path, host: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(home), host],
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url, self.key = self.process.stdout.readline().split()
        self.url = self.url.replace("0.0.0.0", "127.0.0.1")

    def end(self, number: int) -> tuple[float, str, str]:
        started = time.monotonic()
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=10)
        return time.monotonic() - started, out, err


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, "127.0.0.1")
    yield server
    server.process.kill()
    if server.process.stdout is not None and not server.process.stdout.closed:
        server.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_within_three_seconds_even_with_open_streams(
    process: Server, number: int
) -> None:
    host, port = process.url.removeprefix("http://").split(":")
    streams = []
    for name in ("endless", "blocked"):
        body = json.dumps({"model": name, "messages": [{"role": "user", "content": "x"}]}).encode()
        head = "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        streams.append(socket.create_connection((host, int(port))))
        length = f"Content-Length: {len(body)}\r\n\r\n"
        streams[-1].sendall((head + length).encode() + body)
    assert httpx.get(process.url + "/api/health", trust_env=False).status_code == 200
    seconds, out, err = process.end(number)
    assert seconds < 3
    assert process.process.returncode == 0
    assert out == "closed\n"
    assert "Traceback" not in err
    for stream in streams:
        stream.close()


def test_a_server_that_others_reach_shows_its_first_key_once_and_demands_it(
    tmp_path: Path,
) -> None:
    server = Server(tmp_path, "0.0.0.0")
    try:
        url, key = server.url + "/api/bases", server.key
        assert httpx.get(url, trust_env=False).status_code == 401
        allowed = httpx.get(url, headers={"authorization": f"Bearer {key}"}, trust_env=False)
        assert allowed.status_code == 200
        assert len(KeyRing(tmp_path / "keys.json").keys()) == 1
    finally:
        server.end(signal.SIGINT)
    again = Server(tmp_path, "0.0.0.0")
    again.end(signal.SIGINT)
    assert again.key == "None"


def test_a_taken_port_is_a_conflict_that_says_what_to_do() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(Conflict) as caught:
        listen("127.0.0.1", taken.getsockname()[1])
    assert "--port" in caught.value.remedy


@pytest.mark.parametrize(
    ("host", "port"), [("no such host", 0), ("127.0.0.1", 99_999), ("203.0.113.9", 0)]
)
def test_an_address_that_is_not_ours_is_an_error(host: str, port: int) -> None:
    with pytest.raises((InputError, Conflict)):
        listen(host, port)
