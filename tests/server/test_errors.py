"""Every error class leaves in the two shapes, with its status."""

from __future__ import annotations

import json

import pytest
from starlette.exceptions import HTTPException

from banyan.core import errors
from banyan.core.errors import (
    BanyanError,
    ClusterDown,
    InputError,
    LimitExceeded,
    Overloaded,
    PeerLost,
    UnknownModel,
)
from banyan.server.errors import error_response, from_exception, openai_body, product_body


def _every_kind() -> list[type[BanyanError]]:
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    return [kind for kind in kinds if issubclass(kind, BanyanError)]


def _made(kind: type[BanyanError]) -> BanyanError:
    if kind is LimitExceeded:
        return LimitExceeded("It", limit="max", value=2, allowed=1)
    return kind("what happened", remedy="what to do")


@pytest.mark.parametrize("kind", _every_kind())
def test_an_error_keeps_its_status_and_says_what_to_do_in_both_shapes(
    kind: type[BanyanError],
) -> None:
    error = _made(kind)
    ours = error_response("/api/x", error)
    assert ours.status_code == kind.http_status
    assert json.loads(bytes(ours.body))["error"]["remedy"] == error.remedy
    theirs = error_response("/v1/x", error)
    assert theirs.status_code == kind.http_status
    assert error.remedy in json.loads(bytes(theirs.body))["error"]["message"]


def test_openai_clients_find_the_codes_they_know() -> None:
    body = openai_body(UnknownModel("no model x"))
    assert body["error"] == {
        "message": "no model x",
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    }
    field = openai_body(InputError("bad", field="temperature"))["error"]
    assert isinstance(field, dict)
    assert field["param"] == "temperature"


def test_a_full_server_says_when_to_come_back() -> None:
    for error in (Overloaded("full"), ClusterDown("rank 3 is gone"), PeerLost("rank 3")):
        response = error_response("/v1/x", error)
        assert (response.status_code, response.headers["retry-after"]) == (503, "2")


def test_foreign_exceptions_are_mapped_and_hidden() -> None:
    assert from_exception(HTTPException(404)).code == "not_found"
    assert (
        from_exception(HTTPException(405, headers={"Allow": "POST"})).code == "method_not_allowed"
    )
    hidden = from_exception(KeyError("secret"))
    assert hidden.code == "internal_error"
    assert "secret" not in json.dumps(product_body(hidden))
