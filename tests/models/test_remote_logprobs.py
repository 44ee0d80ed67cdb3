"""What servers write as numbers is believed only where it is one."""

from __future__ import annotations

import json

import pytest

from banyan.models.remote_embedder import embeddings
from banyan.models.remote_logprobs import chat_logprobs, completion_logprobs


@pytest.mark.parametrize("number", ["-Infinity", "NaN", "1e999", "1" + "0" * 400, '"1"', "null"])
def test_what_is_no_log_probability_is_none(number: str) -> None:
    value = json.loads(number)
    (chat,) = chat_logprobs({"content": [{"token": "a", "logprob": value}]})
    (raw,) = completion_logprobs({"tokens": ["a"], "token_logprobs": [value]})
    assert chat.logprob is None
    assert raw.logprob is None


def test_an_alternative_without_a_number_is_left_out() -> None:
    top = [{"token": "a", "logprob": -1.5}, {"token": "b", "logprob": float("-inf")}]
    (found,) = chat_logprobs({"content": [{"token": "a", "logprob": -1.5, "top_logprobs": top}]})
    assert found.top == (("a", -1.5),)


@pytest.mark.parametrize("number", [10**400, float("nan"), "x", None])
def test_a_vector_that_holds_no_number_is_none(number: object) -> None:
    assert embeddings({"data": [{"index": 0, "embedding": [1.0, number]}]}) is None
    assert embeddings({"data": [{"index": float("inf"), "embedding": [1.0]}]}) is None
