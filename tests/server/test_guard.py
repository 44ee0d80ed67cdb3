"""Hostile requests against a real server: each is refused, says why, and costs little."""

from __future__ import annotations

import json
import logging
import socket
import time

import httpx
import pytest
from tests.server.harness import Running, head, read_all, running, talk
from tests.server.stubs import HOSTILE, StubApp

JSON_HEADERS = {"content-type": "application/json"}


def _code(answer: bytes) -> tuple[int, str]:
    status = int(answer.split(b" ")[1])
    return status, json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]


def test_a_rebound_name_reaches_nothing(client: httpx.Client) -> None:
    for path in ("/", "/api/health", "/api/bases", "/static/index.html", "/v1/models"):
        response = client.get(path, headers={"host": "evil.example"})
        assert response.status_code == 421
        assert "error" in response.json()


def test_a_foreign_page_cannot_ask_change_or_upload(client: httpx.Client) -> None:
    foreign = {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}
    body = {"id": "x", "title": "x"}
    assert client.post("/api/bases", json=body, headers=foreign).status_code == 403
    assert client.delete("/api/bases/sample", headers=foreign).status_code == 403
    stream = {**foreign, "content-type": "application/octet-stream"}
    path = "/api/bases/sample/files?name=a.txt"
    assert client.put(path, content=b"x", headers=stream).status_code == 403
    assert client.post("/v1/chat/completions", json={}, headers=foreign).status_code == 403
    assert [base["id"] for base in client.get("/api/bases").json()["bases"]] == ["sample"]


def test_a_form_post_that_needs_no_preflight_is_refused(client: httpx.Client) -> None:
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; b=1"):
        response = client.post(
            "/api/bases", content=b'{"id":"x","title":"x"}', headers={"content-type": media}
        )
        assert response.status_code == 415
        assert response.json()["error"]["code"] == "unsupported_media_type"


def test_a_preflight_is_never_granted(client: httpx.Client) -> None:
    response = client.options(
        "/api/bases",
        headers={"origin": "http://evil.example", "access-control-request-method": "POST"},
    )
    assert response.status_code in (403, 405)
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_ten_thousand_headers_are_refused(server: Running) -> None:
    lines = [f"X-{number}: a" for number in range(10_000)]
    answer = talk(server.port, head("GET", "/api/bases", *lines))
    assert _code(answer)[0] in (400, 413)


def test_an_endless_header_is_cut_off(server: Running) -> None:
    answer = talk(server.port, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000)
    assert not answer or _code(answer)[0] == 400


def test_a_very_long_address_is_refused(server: Running) -> None:
    answer = talk(server.port, head("GET", "/api/bases?x=" + "a" * 10_000))
    assert _code(answer) == (413, "limit_exceeded")


def test_rubbish_is_answered_in_the_products_shape(server: Running) -> None:
    assert _code(talk(server.port, b"\x16\x03\x01\x02\x00\r\n\r\n")) == (400, "input_error")


def test_a_nul_in_the_path_is_refused(server: Running) -> None:
    answer = talk(server.port, head("GET", "/api/bases/a%00b/documents"))
    assert _code(answer) == (400, "input_error")


def test_two_host_headers_are_refused(server: Running) -> None:
    answer = talk(server.port, head("GET", "/api/bases", "Host: evil.example"))
    assert _code(answer)[0] == 400


def test_a_request_without_a_host_is_refused(server: Running) -> None:
    answer = talk(server.port, b"GET /api/bases HTTP/1.0\r\n\r\n")
    assert _code(answer) == (421, "unexpected_host")


def test_both_lengths_at_once_cannot_smuggle_a_second_request(server: Running) -> None:
    inner = b"GET /api/bases HTTP/1.1\r\nHost: localhost\r\n\r\n"
    smuggled = head(
        "POST",
        "/api/search",
        "Content-Type: application/json",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
    )
    answer = talk(server.port, smuggled + b"0\r\n\r\n" + inner)
    assert answer.count(b"HTTP/1.1") == 1


def test_a_refused_upload_still_gets_to_see_why(app: StubApp) -> None:
    with running(app, allowed_hosts="box.example") as server:
        response = httpx.put(
            server.url + "/api/bases/sample/files?name=a.bin",
            content=b"x" * 5_000_000,
            headers={"content-type": "application/octet-stream"},
            trust_env=False,
        )
    assert response.status_code == 401
    assert response.headers["connection"] == "close"


def test_a_client_that_waits_for_a_word_before_sending_is_answered_at_once(
    server: Running,
) -> None:
    started = time.monotonic()
    answer = talk(
        server.port,
        head(
            "POST",
            "/api/bases",
            "Content-Type: text/plain",
            "Content-Length: 1000",
            "Expect: 100-continue",
        ),
    )
    assert _code(answer) == (415, "unsupported_media_type")
    assert b"100 Continue" not in answer
    assert time.monotonic() - started < 1


def test_hostile_names_and_texts_stay_text(client: httpx.Client) -> None:
    for path in ("/api/bases/sample/documents", "/api/documents/d1", "/api/passages/p1"):
        response = client.get(path)
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert HOSTILE in json.dumps(response.json())


def test_the_log_has_neither_queries_nor_keys_nor_forged_lines(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="banyan.access"):
        client.get(
            "/api/bases?secret=query",
            headers={"authorization": "Bearer secret-key", "cookie": "banyan_session=secret"},
        )
        client.get("/api/x%0d%0aforged")
    assert "GET /api/bases 200" in caplog.text
    assert "secret" not in caplog.text
    assert "\nforged" not in caplog.text


def test_an_unexpected_fault_is_logged_and_not_shown(
    client: httpx.Client, app: StubApp, caplog: pytest.LogCaptureFixture
) -> None:
    app.library.known = None  # type: ignore[assignment] # the fault
    response = client.get("/api/bases")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "NoneType" not in response.text
    assert "NoneType" in caplog.text


def test_the_connection_can_be_used_again_after_a_refusal(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        request = b"GET /api/nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.sendall(request)
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)
        assert b"404" in answer
        connection.sendall(head("GET", "/api/health"))
        assert b"200 OK" in read_all(connection)
