"""The doubles keep the promises of the ports they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from banyan.core.context import Context
from banyan.core.errors import Cancelled
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.fakes import HashEmbedder, ManualClock, ScriptedChatModel, WordOverlapScorer
from banyan.core.types import Message, Sampling


def test_a_scripted_model_says_its_line_and_remembers_the_question() -> None:
    model = ScriptedChatModel("two words")
    asked = [Message(role="user", content="hello")]
    events = list(model.chat(asked, Sampling(), Context()))
    assert "".join(e.text for e in events if isinstance(e, TokenReady)) == "two words"
    assert isinstance(events[-1], GenerationDone)
    assert model.asked == [tuple(asked)]


def test_a_scripted_model_stops_when_cancelled() -> None:
    context = Context()
    stream = ScriptedChatModel("a b c").chat([], Sampling(), context)
    next(stream)
    context.cancel.set()
    with pytest.raises(Cancelled):
        next(stream)


def test_hashed_vectors_are_unit_length_and_near_when_words_are_shared() -> None:
    near, same, far, empty = HashEmbedder().embed(
        ["red apple", "red apple pie", "blue car", ""], Context()
    )
    assert np.linalg.norm(near) == pytest.approx(1)
    assert near @ same > near @ far
    assert not empty.any()


def test_the_overlap_scorer_finds_words_of_the_prefix_likely() -> None:
    (tokens,) = WordOverlapScorer().score([("the red apple", "red car")], Context())
    assert [token.logprob for token in tokens] == [-1.0, -8.0]


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock()
    clock.sleep(2.5)
    assert clock.monotonic() == 2.5
