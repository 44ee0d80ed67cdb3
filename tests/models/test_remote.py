"""A remote model speaks OpenAI's API as servers really do, and can be left at any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from tests.models.openai_double import Exchange, Handler, models_of, openai_double, says

from banyan.core.context import Context
from banyan.core.errors import (
    BanyanError,
    Cancelled,
    ContextTooLong,
    DeadlineExceeded,
    Overloaded,
    RemoteKeyRefused,
    RemoteModelFailed,
    UnsupportedOption,
)
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.types import Message, Sampling, TokenLogprob, Usage
from banyan.models import exchange as exchange_module
from banyan.models.remote import RemoteModel, list_models

QUESTION = [Message(role="user", content="Hi")]
KEY = "sk-secret-0123456789"


def chat(url: str, context: Context | None = None, **options: object) -> list[object]:
    sampling = Sampling(**options)  # type: ignore[arg-type]  # tests name any option
    return list(RemoteModel(url, "m", KEY).chat(QUESTION, sampling, context or Context()))


def test_a_chat_streams_its_pieces_and_ends_with_reason_and_usage() -> None:
    with openai_double(chat=says("Hel", "lo", finish="length")) as server:
        *tokens, done = chat(server.url)
    assert tokens == [TokenReady(text="Hel"), TokenReady(text="lo")]
    assert done == GenerationDone(
        finish_reason="length", usage=Usage(prompt_tokens=3, completion_tokens=2)
    )


def test_the_request_carries_the_key_and_only_the_options_that_were_set() -> None:
    with openai_double(chat=says("ok")) as server:
        chat(server.url, max_tokens=5, temperature=0.0, top_k=3, stop=("x",), seed=7)
        _, headers, body = server.requests[0]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
        "max_tokens": 5,
        "top_k": 3,
        "stop": ["x"],
        "seed": 7,
    }


def test_log_probabilities_of_a_chat_are_kept() -> None:
    def handler(exchange: Exchange) -> None:
        top = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1}]
        content = [{"token": "a", "logprob": -0.5, "top_logprobs": top}]
        exchange.begin()
        exchange.event({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": content}}]})
        exchange.event("[DONE]")

    with openai_double(chat=handler) as server:
        token, _ = chat(server.url, logprobs=2)
        assert server.requests[0][2]["top_logprobs"] == 2
    expected = TokenLogprob(text="a", logprob=-0.5, top=(("a", -0.5), ("b", -1.0)))
    assert token == TokenReady(text="a", logprobs=(expected,))


def test_a_completion_sends_the_raw_prompt_and_reads_echoed_log_probabilities() -> None:
    def handler(exchange: Exchange) -> None:
        logprobs = {
            "tokens": ["a", "b"], "token_logprobs": [None, -2.0], "top_logprobs": [None, {"b": -2}],
        }  # fmt: skip
        exchange.begin()
        exchange.event({"choices": [{"text": "ab", "logprobs": logprobs, "finish_reason": "stop"}]})
        exchange.event("[DONE]")

    with openai_double(completions=handler) as server:
        model = RemoteModel(server.url, "m")
        token, _ = model.complete("a", Sampling(max_tokens=0, echo=True, logprobs=1), Context())
        _, headers, body = server.requests[0]
    assert (body["prompt"], body["echo"], body["logprobs"]) == ("a", True, 1)
    assert "Authorization" not in headers
    assert token == TokenReady(
        text="ab",
        logprobs=(
            TokenLogprob(text="a", logprob=None),
            TokenLogprob(text="b", logprob=-2.0, top=(("b", -2.0),)),
        ),
    )


def test_an_echoed_chat_is_refused_rather_than_forgotten() -> None:
    with pytest.raises(UnsupportedOption):
        chat("http://127.0.0.1:1/v1", echo=True)


def answering(status: int, message: str) -> Handler:
    return lambda exchange: exchange.reply({"error": {"message": message}}, status)


@pytest.mark.parametrize(
    ("handler", "kind", "words"),
    [
        (answering(401, f"Incorrect API key: {KEY}"), RemoteKeyRefused, "***"),
        (answering(429, "slow down"), Overloaded, "slow down"),
        (answering(503, "loading"), Overloaded, "loading"),
        (answering(400, "maximum context length is 4"), ContextTooLong, "maximum context"),
        (answering(404, "no such model"), RemoteModelFailed, "no such model"),
        (answering(500, "x" * 5000), RemoteModelFailed, "…"),
        (lambda e: e.reply(b"<html>\x00\x1b[31moops", 502), RemoteModelFailed, "<html> [31moops"),
        (lambda e: e.reply({"choices": []}), RemoteModelFailed, "ended its answer early"),
        (says("half", done=False), RemoteModelFailed, "ended its answer early"),
        (says("no", finish="content_filter"), RemoteModelFailed, "content filter"),
    ],
)
def test_a_failing_server_becomes_a_typed_error_in_its_own_words_without_the_key(
    handler: Handler, kind: type[BanyanError], words: str
) -> None:
    with openai_double(chat=handler) as server, pytest.raises(kind) as caught:
        chat(server.url)
    message = str(caught.value) + caught.value.remedy
    assert words in message
    assert KEY not in message
    assert len(message) < 600
    assert message.isprintable()


def test_a_server_that_wants_a_key_where_none_is_given_has_refused_none() -> None:
    with (
        openai_double(chat=answering(401, "who are you?")) as server,
        pytest.raises(RemoteKeyRefused, match="wants a key"),
    ):
        list(RemoteModel(server.url, "m").chat(QUESTION, Sampling(), Context()))


def test_an_error_inside_the_stream_is_an_error_and_not_the_end() -> None:
    def handler(exchange: Exchange) -> None:
        exchange.begin()
        exchange.event({"choices": [{"delta": {"content": "a"}}]})
        exchange.event({"error": {"message": "out of memory", "code": 503}})

    with openai_double(chat=handler) as server:
        events = RemoteModel(server.url, "m").chat(QUESTION, Sampling(), Context())
        assert next(events) == TokenReady(text="a")
        with pytest.raises(Overloaded, match="out of memory"):
            next(events)


def test_a_redirect_is_not_followed_so_that_the_key_goes_nowhere_else() -> None:
    def handler(exchange: Exchange) -> None:
        exchange.send_response(307)
        exchange.send_header("Location", "/v1/elsewhere")
        exchange.send_header("Content-Length", "0")
        exchange.end_headers()

    with (
        openai_double(chat=handler, elsewhere=says("no")) as server,
        pytest.raises(RemoteModelFailed, match="sends elsewhere"),
    ):
        chat(server.url)
    assert [path for path, _, _ in server.requests] == ["/v1/chat/completions"]


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(RemoteModelFailed, match=r"127\.0\.0\.1:1 cannot be reached: Conn"):
        chat("http://127.0.0.1:1/v1")


@pytest.mark.parametrize("host", ["a" * 300, "a..b", "xn--"])
def test_a_host_that_can_be_no_name_is_no_fault_of_ours(host: str) -> None:
    with pytest.raises(RemoteModelFailed, match="is not the name of a host"):
        chat(f"http://{host}/v1")


def test_a_line_without_end_is_stopped_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "MAX_LINE_BYTES", 1000)

    def handler(exchange: Exchange) -> None:
        exchange.begin()
        exchange.wfile.write(b"data: " + b"x" * 100_000)

    with (
        openai_double(chat=handler) as server,
        pytest.raises(RemoteModelFailed, match="MAX_LINE_BYTES = 1000"),
    ):
        chat(server.url)


def silent(exchange: Exchange) -> None:
    """Take the request and never answer, as a server does that is still reading the prompt."""
    exchange.server.double.left.wait(5)


def streaming(exchange: Exchange) -> None:
    exchange.begin()
    exchange.event({"choices": [{"delta": {"content": "a"}}]})
    exchange.wait_until_left()


@pytest.mark.parametrize("handler", [silent, streaming])
def test_a_cancelled_request_ends_within_a_fifth_of_a_second(handler: Handler) -> None:
    context, cancelled = Context(), []

    def cancel() -> None:
        cancelled.append(time.monotonic())
        context.cancel.set()

    with openai_double(chat=handler) as server:
        threading.Timer(0.2, cancel).start()
        with pytest.raises(Cancelled):
            chat(server.url, context)
        assert time.monotonic() - cancelled[0] < 0.2
        assert wait_until(lambda: not asking()), "its thread still waits for the server"
        server.left.set()


def asking() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "remote-model"]


def wait_until(condition: Callable[[], bool], longest_s: float = 2.0) -> bool:
    end = time.monotonic() + longest_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def measured(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def test_closing_the_generator_tells_the_server_at_once() -> None:
    with openai_double(chat=streaming) as server:
        events = RemoteModel(server.url, "m").chat(QUESTION, Sampling(), Context())
        next(events)
        assert measured(events.close) < 0.2  # type: ignore[attr-defined]  # it is a generator
        assert server.left.wait(2)


def test_a_deadline_ends_a_silent_request() -> None:
    with openai_double(chat=silent) as server:
        context = Context(deadline=time.monotonic() + 0.2)
        with pytest.raises(DeadlineExceeded):
            chat(server.url, context)
        server.left.set()


def test_the_models_of_a_server_are_listed_in_its_order() -> None:
    with openai_double(models=models_of("b", "a")) as server:
        assert list_models(RemoteModel(server.url, "").endpoint, Context()) == ["b", "a"]


def test_something_that_is_no_such_server_is_recognised() -> None:
    with (
        openai_double(models=lambda exchange: exchange.reply({"hello": "world"})) as server,
        pytest.raises(RemoteModelFailed, match="does not list its models"),
    ):
        list_models(RemoteModel(server.url, "").endpoint, Context())
