"""The checks on a request's head, one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from banyan.core.errors import (
    BanyanError,
    CrossOrigin,
    InputError,
    LimitExceeded,
    UnexpectedHost,
    UnsupportedMediaType,
)
from banyan.server.security import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_TARGET_BYTES,
    HostRules,
    check_bounds,
    check_media_type,
    check_origin,
    is_loopback,
)

OWN = "http://localhost:8080"


def _headers(**given_headers: str) -> Headers:
    return Headers({name.replace("_", "-"): value for name, value in given_headers.items()})


@pytest.mark.parametrize(
    "header", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "box.lan", "10.1.2.3"]
)
def test_our_own_names_are_answered_for(header: str) -> None:
    HostRules.of("10.1.2.3", "box.lan").check(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "evil.example",
        "localhost.evil.example",
        "evil.example:localhost",
        "localhost@evil.example",
        "localhost:8080:8080",
        "localhost, evil.example",
        "localhost/evil",
        " localhost",
        "10.1.2.4",
        "127.0.0.1.evil.example",
        "[::2]",
        "localhost\x00",
        "ｌocalhost",
    ],
)
def test_a_rebound_or_malformed_host_is_refused(header: str | None) -> None:
    with pytest.raises(UnexpectedHost):
        HostRules.of("10.1.2.3", "").check(header)


def test_a_server_on_every_address_answers_for_addresses_but_not_for_foreign_names() -> None:
    for wildcard in ("0.0.0.0", "::", ""):
        rules = HostRules.of(wildcard, "")
        for good in ("192.168.7.7:8080", "[fe80::1]:8080", "localhost"):
            rules.check(good)
        with pytest.raises(UnexpectedHost):
            rules.check("evil.example")


@given(st.text(max_size=40))
def test_no_host_header_crashes_the_check(header: str) -> None:
    try:
        HostRules.of("127.0.0.1", "").check(header)
    except UnexpectedHost:
        pass


@pytest.mark.parametrize("name", ["http://box.lan", "box.lan:8080", "*", "a b", "/"])
def test_a_malformed_allowed_host_is_an_error_at_start(name: str) -> None:
    with pytest.raises(InputError):
        HostRules.of("127.0.0.1", name)


def test_loopback_is_only_what_no_other_machine_can_reach() -> None:
    assert is_loopback("127.0.0.5")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("localhost.example")


@pytest.mark.parametrize(
    "headers",
    [
        _headers(host="localhost:8080"),
        _headers(host="localhost:8080", origin=OWN),
        _headers(host="localhost:8080", origin=OWN, sec_fetch_site="same-origin"),
        _headers(host="localhost:8080", sec_fetch_site="none"),
        _headers(host="box.lan", origin="https://box.lan"),
        _headers(host="box.lan:443", origin="https://box.lan"),
        _headers(host="[::1]:8080", origin="http://[::1]:8080"),
    ],
)
def test_our_own_pages_and_programs_may_change_things(headers: Headers) -> None:
    check_origin("POST", headers)


@pytest.mark.parametrize(
    "headers",
    [
        _headers(host="localhost:8080", origin="http://evil.example"),
        _headers(host="localhost:8080", origin="null"),
        _headers(host="localhost:8080", origin="http://localhost:9999"),
        _headers(host="localhost:8080", origin="http://localhost"),
        _headers(host="localhost:8080", origin=""),
        _headers(host="localhost:8080", origin="http://localhost:8080.evil.example"),
        _headers(host="localhost:8080", origin="http://localhost:8080@evil.example"),
        _headers(host="localhost:8080", origin="http://[bad"),
        _headers(host="localhost:8080", origin="http://localhost:99999999"),
        _headers(host="localhost:8080", sec_fetch_site="cross-site"),
        _headers(host="localhost:8080", sec_fetch_site="same-site"),
        _headers(host="localhost:8080", origin=OWN, sec_fetch_site="cross-site"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_page_of_another_origin_may_not(headers: Headers, method: str) -> None:
    with pytest.raises(CrossOrigin):
        check_origin(method, headers)


def test_a_foreign_page_may_not_even_read() -> None:
    with pytest.raises(CrossOrigin):
        check_origin("GET", _headers(host="localhost", sec_fetch_site="cross-site"))


@pytest.mark.parametrize(
    "given_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"],
)
def test_what_a_form_can_send_is_no_json(given_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        check_media_type("POST", _headers(content_type=given_type, content_length="2"))


def test_json_and_byte_streams_pass_where_they_belong() -> None:
    check_media_type("POST", _headers(content_type="Application/JSON; charset=utf-8"))
    check_media_type("PUT", _headers(content_type="application/octet-stream"))
    check_media_type("DELETE", _headers())
    check_media_type("GET", _headers())
    with pytest.raises(UnsupportedMediaType):
        check_media_type("PUT", _headers(content_type="application/json"))
    with pytest.raises(UnsupportedMediaType):
        check_media_type("DELETE", _headers(content_length="2"))


@pytest.mark.parametrize(
    ("target", "path", "headers", "kind"),
    [
        (b"/" + b"a" * MAX_TARGET_BYTES, "/", {}, LimitExceeded),
        (b"/", "/", {f"x-{n}": "" for n in range(MAX_HEADERS + 1)}, LimitExceeded),
        (b"/", "/", {"x": "a" * MAX_HEADER_BYTES}, LimitExceeded),
        (b"/a%00b", "/a\x00b", {}, InputError),
        (b"/a%0d%0ab", "/a\r\nb", {}, InputError),
    ],
)
def test_a_head_out_of_bounds_is_refused(
    target: bytes, path: str, headers: dict[str, str], kind: type[BanyanError]
) -> None:
    with pytest.raises(kind):
        check_bounds(target, path, Headers(headers))
