"""OpenAI's answer objects."""

from __future__ import annotations

import pytest

from banyan.core.errors import Cancelled, EngineFailed
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.types import TokenLogprob, Usage
from banyan.server.completions import (
    Envelope,
    chat_logprobs,
    completion_logprobs,
    finish_reason,
    gather,
)

TOKENS = (
    TokenLogprob(text="Hi", logprob=None),
    TokenLogprob(text=" 你", logprob=-0.5, top=(("x", -1.0),)),
)
USAGE = Usage(prompt_tokens=3, completion_tokens=2)


def test_a_generation_is_gathered_whole_or_not_at_all() -> None:
    done = GenerationDone(finish_reason="length", usage=USAGE)
    whole = gather([TokenReady(text="a", logprobs=TOKENS), TokenReady(text="b"), done])
    assert (whole.text, whole.tokens, whole.done) == ("ab", TOKENS, done)
    with pytest.raises(EngineFailed):
        gather([TokenReady(text="a")])


def test_a_cancelled_generation_is_no_answer() -> None:
    assert finish_reason(GenerationDone(finish_reason="length", usage=USAGE)) == "length"
    with pytest.raises(Cancelled):
        finish_reason(GenerationDone(finish_reason="cancelled", usage=USAGE))


def test_chunks_of_one_response_share_their_id_and_name_their_kind() -> None:
    chat = Envelope(kind="chat.completion", model="m")
    assert chat.chunk("x")["object"] == "chat.completion.chunk"
    assert chat.whole([], USAGE)["object"] == "chat.completion"
    assert chat.chunk("x")["id"] == chat.chunk("y")["id"]
    text = Envelope(kind="text_completion", model="m")
    assert text.chunk("x")["object"] == "text_completion"
    assert chat.chunk(usage=USAGE)["choices"] == ()
    assert chat.chunk(usage=USAGE)["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
    }


def test_chat_logprobs_give_text_bytes_and_alternatives() -> None:
    assert chat_logprobs(TOKENS[1:]) == {
        "content": [
            {
                "token": " 你",
                "logprob": -0.5,
                "bytes": [32, 228, 189, 160],
                "top_logprobs": [{"token": "x", "logprob": -1.0, "bytes": [120]}],
            }
        ],
        "refusal": None,
    }


def test_completion_logprobs_count_characters_from_the_offset() -> None:
    assert completion_logprobs(TOKENS, 10) == {
        "tokens": ["Hi", " 你"],
        "token_logprobs": [None, -0.5],
        "top_logprobs": [None, {"x": -1.0}],
        "text_offset": [10, 12],
    }
