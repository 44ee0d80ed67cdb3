"""The official ``openai`` client against a real server on a real port."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from tests.server.harness import Running, running
from tests.server.stubs import EndlessModel, RecordingModel, StubApp

from banyan.core.settings import Settings
from banyan.core.types import Sampling

USER = {"role": "user", "content": "hi there"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(StubApp(Settings(home=tmp_path))) as started:
        yield started


@pytest.fixture
def client(server: Running) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as opened:
        yield opened


@pytest.fixture
def tiny(server: Running) -> RecordingModel:
    model = server.app.chats["tiny"]
    assert isinstance(model, RecordingModel)
    return model


def test_models_are_listed_and_found_and_bases_are_among_them(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert {"tiny", "hash-64", "base:sample"} <= set(names)
    assert client.models.retrieve("base:sample").owned_by == "banyan"


def test_an_unknown_model_is_a_404_the_client_knows(client: OpenAI) -> None:
    for ask in (
        lambda: client.models.retrieve("nope"),
        lambda: client.chat.completions.create(model="nope", messages=[USER]),
        lambda: client.completions.create(model="nope", prompt="x"),
        lambda: client.embeddings.create(model="nope", input="x"),
        lambda: client.chat.completions.create(model="base:nope", messages=[USER]),
        lambda: client.chat.completions.create(model="/etc/passwd", messages=[USER]),
        lambda: client.chat.completions.create(model="../x.gguf", messages=[USER], stream=True),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            ask()
        assert caught.value.code in ("model_not_found", "unknown_base")


def test_a_model_of_the_wrong_kind_is_a_clear_400(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="kind embedding"):
        client.chat.completions.create(model="hash-64", messages=[USER])
    with pytest.raises(openai.BadRequestError, match="kind chat"):
        client.embeddings.create(model="tiny", input="x")


def test_a_chat_is_answered_with_its_usage(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="tiny", messages=[USER])
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content == "echo: hi there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].logprobs is None
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 2)
    assert answer.usage.total_tokens == 5


def test_an_answer_can_be_sent_back_as_the_client_gives_it(
    client: OpenAI, tiny: RecordingModel
) -> None:
    first = client.chat.completions.create(model="tiny", messages=[USER])
    client.chat.completions.create(
        model="tiny", messages=[USER, first.choices[0].message, {"role": "user", "content": "on"}]
    )
    assert [message.role for message in tiny.messages[-1]] == ["user", "assistant", "user"]


def test_a_chat_streams_piece_by_piece_with_usage_when_asked(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="tiny", messages=[USER], stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks[:-1]]
    assert pieces == ["", "echo:", " hi there", ""]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 5
    assert len({chunk.id for chunk in chunks}) == 1


def test_without_being_asked_a_stream_has_no_usage(client: OpenAI) -> None:
    chunks = client.chat.completions.create(model="tiny", messages=[USER], stream=True)
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_sampling_options_reach_the_model(client: OpenAI, tiny: RecordingModel) -> None:
    client.chat.completions.create(
        model="tiny",
        messages=[USER],
        max_tokens=5,
        temperature=0.2,
        top_p=0.9,
        presence_penalty=0.5,
        frequency_penalty=0.25,
        seed=7,
        stop=["END"],
        extra_body={"top_k": 5, "min_p": 0.05, "repetition_penalty": 1.2},
    )
    assert tiny.sampling[-1] == Sampling(
        max_tokens=5,
        temperature=0.2,
        top_p=0.9,
        presence_penalty=0.5,
        frequency_penalty=0.25,
        seed=7,
        stop=("END",),
        top_k=5,
        min_p=0.05,
        repetition_penalty=1.2,
    )


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_come_with_alternatives(client: OpenAI, stream: bool) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=[USER], logprobs=True, top_logprobs=1, stream=stream
    )
    if stream:
        contents = [chunk.choices[0].logprobs for chunk in answer]
        tokens = [token for found in contents if found for token in found.content or []]
    else:
        tokens = answer.choices[0].logprobs.content
    assert [token.token for token in tokens] == ["echo:", " hi there"]
    assert tokens[0].logprob == -0.5
    assert tokens[0].top_logprobs[0].token == "other"


def test_an_option_that_is_not_supported_is_named(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tiny", messages=[USER], n=2)
    assert caught.value.param == "n"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="tiny", messages=[USER], response_format={"type": "json_object"}
        )
    assert caught.value.param == "response_format"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tiny", messages=[USER], extra_body={"tpo_k": 2})
    assert caught.value.param == "tpo_k"


def test_a_completion_continues_scores_and_counts(client: OpenAI) -> None:
    plain = client.completions.create(model="tiny", prompt="Once")
    assert plain.choices[0].text == " and on"
    scored = client.completions.create(
        model="tiny", prompt="Once", echo=True, logprobs=1, max_tokens=0
    )
    assert scored.choices[0].text == "Once"
    logprobs = scored.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens == ["Once"]
    assert logprobs.token_logprobs == [None]
    assert logprobs.text_offset == [0]


def test_several_prompts_give_several_choices(client: OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt=["A", "B"], echo=True)
    assert [(choice.index, choice.text) for choice in answer.choices] == [
        (0, "A and on"),
        (1, "B and on"),
    ]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6


def test_a_completion_streams(client: OpenAI) -> None:
    chunks = list(
        client.completions.create(
            model="tiny",
            prompt="Once",
            stream=True,
            logprobs=0,
            stream_options={"include_usage": True},
        )
    )
    assert [chunk.choices[0].text for chunk in chunks[:-1]] == [" and", " on", ""]
    offsets = [chunk.choices[0].logprobs.text_offset for chunk in chunks[:2]]
    assert offsets == [[0], [4]]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None


def test_embeddings_come_alike_as_floats_and_as_base64(client: OpenAI) -> None:
    texts = ["trees stand", "on trunks"]
    packed = client.embeddings.create(model="hash-64", input=texts)
    plain = client.embeddings.create(model="hash-64", input=texts, encoding_format="float")
    assert len(packed.data) == 2
    for one, other in zip(packed.data, plain.data, strict=True):
        assert len(one.embedding) == 64
        assert one.embedding == pytest.approx(other.embedding)
        assert sum(value * value for value in one.embedding) == pytest.approx(1, abs=1e-5)


def test_embeddings_of_another_size_are_refused(client: OpenAI) -> None:
    assert client.embeddings.create(model="hash-64", input="x", dimensions=64).data
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="hash-64", input="x", dimensions=32)
    assert caught.value.param == "dimensions"


@pytest.mark.parametrize("stream", [False, True])
def test_a_knowledge_base_answers_with_citations(client: OpenAI, stream: bool) -> None:
    answer = client.chat.completions.create(model="base:sample", messages=[USER], stream=stream)
    if stream:
        chunks = list(answer)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        extra = chunks[-1].model_extra
    else:
        text, extra = answer.choices[0].message.content, answer.model_extra
    assert text == "It stands on many trunks. [1]\n\n[1] Trees, p. 3"
    assert extra["citations"][0]["quote"] == "A banyan stands on many trunks."
    assert extra["refused"] is False
    assert extra["trace_id"]


def test_what_is_not_in_the_base_is_refused_in_words(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="base:sample", messages=[{"role": "user", "content": "how far is the moon?"}]
    )
    assert answer.choices[0].message.content == "Not in these documents."
    assert answer.model_extra is not None
    assert answer.model_extra["refused"] is True


def test_a_transcript_continues_its_conversation(client: OpenAI, server: Running) -> None:
    first = client.chat.completions.create(model="base:sample", messages=[USER])
    more = {"role": "user", "content": "and then?"}
    transcript = [USER, first.choices[0].message, more]
    client.chat.completions.create(model="base:sample", messages=transcript)
    client.chat.completions.create(model="base:sample", messages=[USER])
    assert [conversation for _, conversation in server.app.library.asked] == [None, "c1", None]


def test_a_client_that_stops_reading_a_stream_stops_the_model(
    client: OpenAI, server: Running
) -> None:
    model = server.app.chats["endless"] = EndlessModel()
    stream = client.chat.completions.create(model="endless", messages=[USER], stream=True)
    next(iter(stream))
    left = time.monotonic()
    stream.close()
    assert model.cancelled.wait(2)
    assert time.monotonic() - left < 1


def test_where_keys_are_demanded_the_client_sends_its_key(tmp_path: Path) -> None:
    app = StubApp(Settings(home=tmp_path))
    with running(app, allowed_hosts="box.example") as server:
        from banyan.server.keys import KeyRing

        secret = KeyRing(tmp_path / "keys.json").add("laptop")
        for key, works in ((secret, True), ("banyan-wrong", False)):
            with OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0) as client:
                if works:
                    assert client.models.list().data
                else:
                    with pytest.raises(openai.AuthenticationError) as caught:
                        client.models.list()
                    assert caught.value.code == "invalid_api_key"
