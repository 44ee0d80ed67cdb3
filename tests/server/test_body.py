"""Bodies over a real connection: too large, lying, slow, broken, deep."""

from __future__ import annotations

import json
import socket
import threading
import time

import httpx
import pytest
from tests.server.harness import Running, head, read_all, talk

from banyan.server import body as body_module

JSON_TYPE = "Content-Type: application/json"


def _status(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


def _error(answer: bytes) -> dict[str, str]:
    error: dict[str, str] = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    return error


def test_a_body_over_the_limit_is_refused_and_the_limit_named(client: httpx.Client) -> None:
    body = {"base": "sample", "question": "x" * 150_000}
    response = client.post("/api/search", json=body)
    assert response.status_code == 413
    assert "max_body_bytes = 100000" in response.json()["error"]["message"]


def test_a_chunked_body_is_counted_while_it_comes(server: Running) -> None:
    chunk = b"2710\r\n" + b" " * 10_000 + b"\r\n"
    request = head("POST", "/api/search", JSON_TYPE, "Transfer-Encoding: chunked")
    answer = talk(server.port, request + chunk * 30 + b"0\r\n\r\n")
    assert _status(answer) == 413


def test_an_endless_chunked_body_is_cut_off(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banyan.server.guard.DRAIN_S", 0.3)
    chunk = b"2710\r\n" + b" " * 10_000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head("POST", "/api/search", JSON_TYPE, "Transfer-Encoding: chunked"))
        with pytest.raises(OSError):
            while True:
                connection.sendall(chunk)


def test_a_length_that_promises_too_much_is_refused_before_the_body(server: Running) -> None:
    request = head(
        "POST", "/api/search", JSON_TYPE, f"Content-Length: {10**15}", "Expect: 100-continue"
    )
    assert _status(talk(server.port, request)) == 413


def test_a_length_that_promises_too_little_reads_only_that(server: Running) -> None:
    request = head("POST", "/api/search", JSON_TYPE, "Content-Length: 2")
    answer = talk(server.port, request + b'{"base":"sample","question":"what?"}')
    assert _status(answer) == 400


@pytest.mark.parametrize("length", ["-1", "x", "1, 2", "99999999999999999999999"])
def test_a_length_that_is_none_is_refused(server: Running, length: str) -> None:
    answer = talk(server.port, head("POST", "/api/search", JSON_TYPE, f"Content-Length: {length}"))
    assert _status(answer) in (400, 413)


def test_a_slow_body_is_given_up(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "BODY_GRACE_S", 0.3)
    monkeypatch.setattr("banyan.server.guard.DRAIN_S", 0.1)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(head("POST", "/api/search", JSON_TYPE, "Content-Length: 50000"))
        started = time.monotonic()
        drip = threading.Thread(target=_drip, args=(connection,))
        drip.start()
        answer = read_all(connection)
        assert time.monotonic() - started < 2
        drip.join()
    assert _status(answer) == 408
    assert _error(answer)["code"] == "request_timeout"


def _drip(connection: socket.socket) -> None:
    try:
        for _ in range(40):
            connection.sendall(b"1")
            time.sleep(0.05)
    except OSError:
        pass


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe{}",
        b'{"base": "sample", "question": "\xff\xfe"}',
        b'{"base": "sample", "question": "x"} trailing',
        b'{"base": "sample", "question": "x", "k": NaN}',
        b'{"base": "sample", "question": "x", "k": 1e999}',
        b'{"base": "sample", "question": "x", "k": "5"}',
        b'{"base": "sample", "question": "x", "k": true}',
        b'{"base": "sample", "question": null}',
        b'{"base": "sample"}',
        b'{"base": "sample", "question": ' + b"[" * 40_000 + b"]" * 40_000 + b"}",
        b"[" * 90_000,
        b'{"a":' * 15_000 + b"1" + b"}" * 15_000,
    ],
)
def test_what_is_not_the_documented_json_is_refused_with_a_reason(
    client: httpx.Client, content: bytes
) -> None:
    response = client.post(
        "/api/search", content=content, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] in ("input_error", "unsupported_option")
    assert error["message"]


def test_an_unknown_field_is_named(client: httpx.Client) -> None:
    response = client.post("/api/search", json={"base": "sample", "question": "x", "kk": 5})
    assert response.status_code == 400
    assert response.json()["error"] == {
        "code": "unsupported_option",
        "message": "'kk' is not an option here.",
        "remedy": "",
    }


def test_a_wrong_value_is_named_and_not_quoted(client: httpx.Client) -> None:
    response = client.post("/api/login", json={"key": ["secret-key"]})
    message = response.json()["error"]["message"]
    assert message.startswith("key: ")
    assert "secret-key" not in message


def test_a_question_over_its_limit_is_refused(client: httpx.Client) -> None:
    for path in ("/api/search", "/api/ask"):
        response = client.post(path, json={"base": "sample", "question": "x" * 4001})
        assert response.status_code == 413
        assert "max_question_chars = 4000" in response.json()["error"]["message"]
