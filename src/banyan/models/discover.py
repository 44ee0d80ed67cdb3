"""Looking, when asked, for OpenAI-compatible servers on the usual ports of this machine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from banyan.core.context import Context
from banyan.core.errors import BanyanError, Cancelled, DeadlineExceeded, RemoteKeyRefused
from banyan.models.endpoint import Endpoint
from banyan.models.remote import list_models

USUAL_PORTS = (11434, 1234, 8000)
"""Those of Ollama, LM Studio and vLLM."""
CONNECT_TIMEOUT_S = 0.5
SILENCE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalServer:
    """A server that answered; without models when it wants a key first."""

    url: str
    models: tuple[str, ...]


def discover(context: Context, ports: tuple[int, ...] = USUAL_PORTS) -> list[LocalServer]:
    """Ask each port of 127.0.0.1 for its models, all at once, in two seconds at most."""
    with ThreadPoolExecutor(len(ports), thread_name_prefix="discover") as pool:
        found = pool.map(lambda port: _look(port, context), ports)
        return [server for server in found if server is not None]


def _look(port: int, context: Context) -> LocalServer | None:
    to = Endpoint(
        url=f"http://127.0.0.1:{port}/v1",
        connect_timeout_s=CONNECT_TIMEOUT_S,
        silence_timeout_s=SILENCE_TIMEOUT_S,
    )
    try:
        return LocalServer(url=to.url, models=tuple(list_models(to, context)))
    except (Cancelled, DeadlineExceeded):
        raise
    except BanyanError as error:
        wants_key = isinstance(error, RemoteKeyRefused)
        return LocalServer(url=to.url, models=()) if wants_key else None
