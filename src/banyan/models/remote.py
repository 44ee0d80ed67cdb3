"""RemoteModel: any OpenAI-compatible server in the engine's place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from banyan.core.context import Context
from banyan.core.errors import RemoteModelFailed, UnsupportedOption
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.types import FinishReason, Message, Sampling, Usage
from banyan.models import remote_errors
from banyan.models.endpoint import Endpoint, endpoint
from banyan.models.exchange import Json, fetch_json, stream_json
from banyan.models.remote_logprobs import chat_logprobs, completion_logprobs

_FINISH: dict[str, FinishReason] = {"length": "length", "max_tokens": "length"}


class RemoteModel:
    """A ``ChatModel``, and a ``TextModel`` where the server has ``/v1/completions``.

    Sends what ``Sampling`` asks for; ``top_k``, ``min_p`` and ``repetition_penalty``, which are
    not in OpenAI's API, go along only when set, and a server that refuses them says so. Raises
    ``RemoteModelFailed``, ``RemoteKeyRefused``, ``Overloaded`` or ``ContextTooLong``.
    """

    def __init__(self, url: str, model: str, key: str = "") -> None:
        self.endpoint: Endpoint = endpoint(url, key)
        self.model = model

    def chat(
        self, messages: Sequence[Message], sampling: Sampling, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        if sampling.echo:
            raise UnsupportedOption("A chat has no echo; it belongs to raw completions.")
        body = {
            "messages": [{"role": turn.role, "content": turn.content} for turn in messages],
            **self._options(sampling),
        }
        if sampling.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
        return self._generate("chat/completions", body, context)

    def complete(
        self, prompt: str, sampling: Sampling, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        body = {"prompt": prompt, **self._options(sampling)}
        if sampling.logprobs is not None:
            body["logprobs"] = sampling.logprobs
        if sampling.echo:
            body["echo"] = True
        return self._generate("completions", body, context)

    def _options(self, sampling: Sampling) -> dict[str, object]:
        options: dict[str, object] = {
            "model": self.model,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": sampling.temperature,
        }
        default = Sampling()
        names = ["max_tokens", "top_p", "presence_penalty", "frequency_penalty", "seed"]
        for name in [*names, "top_k", "min_p", "repetition_penalty"]:
            value = getattr(sampling, name)
            if value != getattr(default, name):
                options[name] = value
        if sampling.stop:
            options["stop"] = list(sampling.stop)
        return options

    def _generate(
        self, path: str, body: Json, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        finish: FinishReason = "stop"
        usage = Usage()
        for event in stream_json(self.endpoint, path, context, body):
            if event.get("error"):
                raise remote_errors.of_body(self.endpoint, event["error"])
            piece = _piece(event)
            if piece.text or piece.token.logprobs:
                yield piece.token
            finish = self._finish(piece.finish) if piece.finish else finish
            usage = _usage(event) or usage
        yield GenerationDone(finish_reason=finish, usage=usage)

    def _finish(self, reason: str) -> FinishReason:
        if reason == "content_filter":
            raise RemoteModelFailed(
                f"{self.endpoint.host} stopped the answer with its content filter."
            )
        return _FINISH.get(reason, "stop")


def list_models(to: Endpoint, context: Context) -> list[str]:
    """The names a server gives its models, in its order (``GET /models``)."""
    data = fetch_json(to, "models", context).get("data")
    if not isinstance(data, list):
        raise RemoteModelFailed(
            f"{to.host} does not list its models as an OpenAI-compatible server does.",
            remedy="See that the address is right (it often ends in /v1).",
        )
    names = [entry.get("id") for entry in data if isinstance(entry, dict)]
    return [name for name in names if isinstance(name, str) and name]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    token: TokenReady
    finish: str

    @property
    def text(self) -> str:
        return self.token.text


def _piece(event: Json) -> _Piece:
    """What one event adds: a chat's delta or a completion's text."""
    choices = event.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return _Piece(token=TokenReady(text=""), finish="")
    finish = choice.get("finish_reason")
    delta = choice.get("delta")
    text = delta.get("content") if isinstance(delta, dict) else choice.get("text")
    given = choice.get("logprobs")
    logprobs = (
        (chat_logprobs(given) if "content" in given else completion_logprobs(given))
        if isinstance(given, dict)
        else ()
    )
    return _Piece(
        token=TokenReady(text=text if isinstance(text, str) else "", logprobs=logprobs),
        finish=finish if isinstance(finish, str) else "",
    )


def _usage(event: Json) -> Usage | None:
    usage = event.get("usage")
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return Usage(
        prompt_tokens=read if isinstance(read, int) else 0,
        completion_tokens=written if isinstance(written, int) else 0,
    )
