"""Values leave as compact UTF-8 JSON, whatever text they hold."""

from __future__ import annotations

import json

import pytest
from tests.server.stubs import CITATION

from banyan.server.wire import reply, to_bytes


def test_records_become_objects() -> None:
    assert json.loads(to_bytes({"citations": (CITATION,)}))["citations"][0]["title"] == "Trees"


def test_text_is_utf8_and_a_lone_surrogate_does_not_break_the_answer() -> None:
    assert to_bytes("树\ud800") == '"树?"'.encode()


def test_what_json_cannot_say_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(ValueError):
        to_bytes(float("nan"))
    with pytest.raises(TypeError):
        to_bytes(object())


def test_a_reply_is_json() -> None:
    response = reply({"a": 1}, status=201)
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
