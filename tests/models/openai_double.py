"""A double of an OpenAI-compatible server: real HTTP on a free port, answers by script."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Handler = Callable[["Exchange"], None]


class Exchange(BaseHTTPRequestHandler):
    """One request; a test's handler answers it with the methods below."""

    server: Double
    body: dict[str, object]

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep the tests' output clean."""

    def reply(self, value: object, status: int = 200) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()

    def event(self, value: object) -> None:
        data = value if isinstance(value, str) else json.dumps(value)
        self.wfile.write(f"data: {data}\n\n".encode())
        self.wfile.flush()

    def wait_until_left(self, longest_s: float = 5.0) -> None:
        """Send comments until the client is gone, and remember that it went."""
        end = time.monotonic() + longest_s
        try:
            while time.monotonic() < end:
                self.wfile.write(b": still here\n\n")
                self.wfile.flush()
                time.sleep(0.01)
        except OSError:
            self.server.double.left.set()

    def _serve(self) -> None:
        double = self.server.double
        length = int(self.headers.get("Content-Length", 0))
        self.body = json.loads(self.rfile.read(length) or b"{}")
        double.requests.append((self.path, dict(self.headers), self.body))
        handler = double.handlers.get(self.path)
        if handler is None:
            self.reply({"error": {"message": f"no {self.path} here"}}, 404)
            return
        handler(self)


class Double(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # a full queue makes a client wait for the kernel to try again
    double: OpenAIDouble

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no news."""


@dataclass
class OpenAIDouble:
    """``handlers`` by path; ``requests`` as they came; ``left`` is set when a client went away."""

    url: str
    handlers: dict[str, Handler]
    requests: list[tuple[str, dict[str, str], dict[str, object]]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1].split("/")[0])


@contextmanager
def openai_double(**handlers: Handler) -> Iterator[OpenAIDouble]:
    """A running server; ``chat``, ``completions``, ``embeddings`` and ``models`` name its paths."""
    server = Double(("127.0.0.1", 0), Exchange)
    paths = {"chat": "/v1/chat/completions"}
    double = OpenAIDouble(
        url=f"http://127.0.0.1:{server.server_port}/v1",
        handlers={paths.get(name, f"/v1/{name}"): value for name, value in handlers.items()},
    )
    server.double = double
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def models_of(*names: str) -> Handler:
    return lambda exchange: exchange.reply({"data": [{"id": name} for name in names]})


def says(*pieces: str, finish: str = "stop", done: bool = True) -> Handler:
    """Stream ``pieces`` as a chat does, then usage of 3 and one token a piece."""

    def handler(exchange: Exchange) -> None:
        exchange.begin()
        for piece in pieces:
            exchange.event({"choices": [{"delta": {"content": piece}, "finish_reason": None}]})
        exchange.event({"choices": [{"delta": {}, "finish_reason": finish}]})
        usage = {"prompt_tokens": 3, "completion_tokens": len(pieces)}
        exchange.event({"choices": [], "usage": usage})
        if done:
            exchange.event("[DONE]")

    return handler
