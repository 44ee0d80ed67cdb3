"""Exchange: one HTTP request whose answer can be left at any moment.

A blocking read cannot be interrupted from outside, so the request runs in a thread of its own and
hands its bytes over a short queue. Whoever reads looks at the context ten times a second; leaving
shuts the socket down, which ends the thread and tells the server that nobody listens.
"""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING

from banyan.core.context import Context
from banyan.core.errors import RemoteModelFailed
from banyan.models import remote_errors
from banyan.models.endpoint import Endpoint

POLL_S = 0.1
QUEUED_CHUNKS = 64
MAX_LINE_BYTES = 1 << 20
MAX_BODY_BYTES = 64 << 20

if TYPE_CHECKING:
    import httpx

Json = Mapping[str, object]


class Exchange:
    """A context manager: entered, the request is under way; left, it is over."""

    def __init__(self, to: Endpoint, path: str, body: Json | None = None) -> None:
        self._to = to
        self._path = path
        self._body = body
        self._chunks: queue.Queue[bytes | Exception | None] = queue.Queue(QUEUED_CHUNKS)
        self._stopped = threading.Event()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="remote-model", daemon=True)

    def __enter__(self) -> Exchange:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._shut()

    def chunks(self, context: Context) -> Iterator[bytes]:
        """The body's bytes as they come; raises what a failed request means."""
        while True:
            context.check()
            try:
                item = self._chunks.get(timeout=POLL_S)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item

    def _run(self) -> None:
        import httpx

        try:
            with self._to.client() as client, self._request(client) as response:
                if response.status_code != 200:
                    raise remote_errors.of_response(self._to, response)
                for chunk in response.iter_raw():
                    if not self._put(chunk):
                        return
            self._put(None)
        except httpx.HTTPError as error:
            self._put(remote_errors.of_transport(self._to, error))
        except (httpx.InvalidURL, UnicodeError):  # of a host name that no resolver takes
            self._put(RemoteModelFailed(f"{self._to.host[:100]} is not the name of a host."))
        except Exception as error:  # the thread's border: the reader must hear of anything
            self._put(error)

    def _request(self, client: httpx.Client) -> AbstractContextManager[httpx.Response]:
        method = "GET" if self._body is None else "POST"
        return client.stream(
            method,
            f"{self._to.url}/{self._path}",
            json=self._body,
            headers=self._to.headers,
            extensions={"trace": self._trace},
        )

    def _trace(self, name: str, info: Mapping[str, object]) -> None:
        """Learn the socket as soon as it exists (the TLS one replaces the plain one)."""
        if name.endswith(("connect_tcp.complete", "start_tls.complete")):
            stream = info["return_value"]
            found = stream.get_extra_info("socket") if hasattr(stream, "get_extra_info") else None
            self._socket = found if isinstance(found, socket.socket) else None
            if self._stopped.is_set():
                self._shut()

    def _put(self, item: bytes | Exception | None) -> bool:
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self._chunks.put(item, timeout=POLL_S)
                return True
        return False

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def fetch_json(to: Endpoint, path: str, context: Context, body: Json | None = None) -> Json:
    """The JSON object at ``path``; POST with a body, GET without."""
    data = bytearray()
    with Exchange(to, path, body) as exchange:
        for chunk in exchange.chunks(context):
            data += chunk
            if len(data) > MAX_BODY_BYTES:
                raise _too_long(to, "MAX_BODY_BYTES", MAX_BODY_BYTES)
    return parse_object(to, bytes(data))


def stream_json(to: Endpoint, path: str, context: Context, body: Json) -> Iterator[Json]:
    """The objects of a server-sent event stream, up to its ``[DONE]``.

    Raises ``RemoteModelFailed`` when the stream ends before it.
    """
    with Exchange(to, path, body) as exchange:
        for line in _lines(to, exchange.chunks(context)):
            if not line.startswith(b"data:"):
                continue
            data = line.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                return
            yield parse_object(to, data)
    raise RemoteModelFailed(
        f"{to.host} ended its answer early.", remedy="Look at that server's log, then try again."
    )


def parse_object(to: Endpoint, data: bytes) -> Json:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RemoteModelFailed(
            f"{to.host} did not answer with a JSON object.",
            remedy="See that the address is an OpenAI-compatible API's (it often ends in /v1).",
        )
    return value


def _lines(to: Endpoint, chunks: Iterator[bytes]) -> Iterator[bytes]:
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        *complete, rest = buffer.split(b"\n")
        yield from (bytes(line) for line in complete)
        buffer = bytearray(rest)
        if len(buffer) > MAX_LINE_BYTES:
            raise _too_long(to, "MAX_LINE_BYTES", MAX_LINE_BYTES)
    yield bytes(buffer)


def _too_long(to: Endpoint, limit: str, allowed: int) -> RemoteModelFailed:
    return RemoteModelFailed(f"{to.host} sent more than {limit} = {allowed} bytes.")
