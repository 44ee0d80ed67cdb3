"""OpenAI's requests: what is taken, what is refused by name, what becomes of the options."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from banyan.core.errors import UnsupportedOption
from banyan.core.types import Message, Sampling
from banyan.server.openai_schemas import ChatCompletion, Completion, Embeddings

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def _chat(**fields: object) -> ChatCompletion:
    return ChatCompletion.model_validate_json(json.dumps({**CHAT, **fields}))


def _completion(**fields: object) -> Completion:
    return Completion.model_validate_json(json.dumps({"model": "m", "prompt": "x", **fields}))


def test_the_defaults_are_openais() -> None:
    assert _chat().chat_sampling() == Sampling()
    assert _completion().completion_sampling() == Sampling(max_tokens=16)


def test_every_option_reaches_the_engine() -> None:
    options = {
        "max_tokens": 7,
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 40,
        "min_p": 0.1,
        "presence_penalty": 1,
        "frequency_penalty": -1,
        "repetition_penalty": 1.1,
        "seed": 5,
        "stop": "END",
        "logprobs": True,
        "top_logprobs": 3,
    }
    assert _chat(**options).chat_sampling() == Sampling(
        max_tokens=7,
        temperature=0.0,
        top_p=0.5,
        top_k=40,
        min_p=0.1,
        presence_penalty=1.0,
        frequency_penalty=-1.0,
        repetition_penalty=1.1,
        seed=5,
        stop=("END",),
        logprobs=3,
    )
    assert _chat(max_completion_tokens=3, max_tokens=9).chat_sampling().max_tokens == 3
    assert _chat(logprobs=True).chat_sampling().logprobs == 0
    assert _chat(top_k=-1).chat_sampling().top_k == 0
    scored = _completion(echo=True, logprobs=0, max_tokens=0).completion_sampling()
    assert (scored.echo, scored.logprobs, scored.max_tokens) == (True, 0, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tools", [{"type": "function"}]),
        ("functions", [{}]),
        ("tool_choice", "required"),
        ("response_format", {"type": "json_object"}),
        ("logit_bias", {"1": 5}),
        ("n", 2),
        ("modalities", ["audio"]),
        ("reasoning_effort", "high"),
        ("prediction", {"type": "content"}),
    ],
)
def test_what_would_change_the_output_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(UnsupportedOption) as caught:
        _chat(**{name: value})
    assert caught.value.field == name
    assert name in str(caught.value)


def test_best_of_and_suffix_are_refused_for_completions() -> None:
    for name, value in (("best_of", 3), ("suffix", "end"), ("n", 2)):
        with pytest.raises(UnsupportedOption) as caught:
            _completion(**{name: value})
        assert caught.value.field == name


def test_what_changes_nothing_is_accepted() -> None:
    body = _chat(
        user="ann",
        metadata={"a": "b"},
        store=True,
        service_tier="auto",
        parallel_tool_calls=True,
        n=1,
        tools=[],
        tool_choice="auto",
        response_format={"type": "text"},
        logit_bias={},
        stop=None,
        seed=None,
        stream=None,
        max_tokens=None,
        temperature=None,
    )
    assert body.chat_sampling() == Sampling()
    assert body.stream is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperatur", 1),
        ("temperature", 3),
        ("temperature", "1"),
        ("temperature", True),
        ("top_p", 0),
        ("top_logprobs", 21),
        ("top_logprobs", 2),
        ("max_tokens", -1),
        ("stop", ["a"] * 17),
        ("stop", [""]),
        ("seed", 2**70),
        ("messages", []),
        ("messages", "hi"),
        ("messages", [{"role": "robot", "content": "x"}]),
        ("messages", [{"role": "user", "content": 5}]),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]),
        ("messages", [{"role": "user", "content": "x", "name": "ann"}]),
    ],
)
def test_wrong_and_unknown_fields_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        _chat(**{name: value})
    assert caught.value.errors()


def test_messages_may_be_text_or_parts_and_our_own_replies_may_come_back() -> None:
    turns = _chat(
        messages=[
            {"role": "developer", "content": "be brief"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            {
                "role": "assistant",
                "content": "c",
                "refusal": None,
                "annotations": [],
                "audio": None,
                "tool_calls": None,
                "function_call": None,
            },
        ]
    ).messages
    assert [turn.message() for turn in turns] == [
        Message(role="system", content="be brief"),
        Message(role="user", content="ab"),
        Message(role="assistant", content="c"),
    ]


def test_prompts_and_inputs_are_texts_one_or_many() -> None:
    assert _completion(prompt=["a", "b"]).prompt == ["a", "b"]
    body = Embeddings.model_validate_json('{"model": "m", "input": "a"}')
    assert body.input == ["a"]
    for given in ([1, 2], [[1, 2]]):
        with pytest.raises(UnsupportedOption):
            _completion(prompt=given)
        with pytest.raises(UnsupportedOption):
            Embeddings.model_validate_json(json.dumps({"model": "m", "input": given}))


@pytest.mark.parametrize("given", ["", [], ["a", ""], None, ["x"] * 2049])
def test_an_empty_or_endless_input_is_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        Embeddings.model_validate_json(json.dumps({"model": "m", "input": given}))
