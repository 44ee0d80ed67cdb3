"""The oracle itself: on the packaged model it says what ``transformers`` says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from tests.engine.gguf_writer import NAMES, NORMS, PARTS

from banyan.core.types import Message
from banyan.engine import reference
from banyan.engine.model import Model, load_model
from banyan.engine.template import ChatTemplate
from banyan.engine.tokenizer import Tokenizer

TEXT = (
    "The banyan is a fig that develops accessory trunks from aerial roots, allowing the tree to"
    " spread outwards indefinitely. Old trees can have hundreds of trunks covering a large area."
)


@pytest.fixture(scope="module")
def small(tiny) -> Model:
    return load_model(tiny("qwen2"), "fp32", 1)


def test_greedy_takes_the_likeliest_token_each_time(small):
    ids = [5, 9, 20]
    produced = reference.greedy(small, ids, 6)
    for place, token in enumerate(produced):
        assert reference.logits(small, ids + produced[:place])[-1].argmax() == token


def test_greedy_stops_at_an_end_token(small, monkeypatch):
    first = reference.greedy(small, [5], 1)[0]
    monkeypatch.setattr(small, "config", replace(small.config, eos_ids=(first,)))
    assert reference.greedy(small, [5], 9) == [first]


def test_logprobs_are_those_of_each_token_after_the_ones_before(small):
    ids = [5, 9, 20, 33]
    found = reference.logprobs(small, ids)
    assert len(found) == 3
    for place in range(3):
        table = reference.logits(small, ids[: place + 1])[-1].log_softmax(-1)
        assert found[place] == pytest.approx(float(table[ids[place + 1]]), abs=1e-5)


def in_transformers(path: Path) -> Any:
    """The packaged GGUF as transformers runs it, decoded by the ``gguf`` package alone."""
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
    )
    parts = {ours: theirs for theirs, ours in {**PARTS, **NORMS}.items()}
    tops = {ours: theirs for theirs, ours in NAMES.items()}
    state = {}
    for tensor in gguf.GGUFReader(path).tensors:
        numbers = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if tensor.name in tops:
            state[tops[tensor.name]] = torch.from_numpy(numbers)
            continue
        _, layer, part, suffix = tensor.name.split(".")
        if part in ("attn_q", "attn_k"):
            heads = 9 if part == "attn_q" else 3
            numbers = numbers.reshape(heads, -1, 2, 576).swapaxes(1, 2).reshape(-1, 576)
        name = f"model.layers.{layer}.{parts[part]}.{suffix}"
        state[name] = torch.from_numpy(np.ascontiguousarray(numbers))
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = transformers.LlamaForCausalLM(config).eval()
    model.load_state_dict(state)
    return model


@pytest.mark.long
@pytest.mark.models
def test_the_packaged_model_says_what_transformers_says(models_home):
    folder = models_home / "models" / "smollm2-135m-instruct"
    theirs = in_transformers(next(folder.glob("*.gguf")))
    ours, tokenizer = load_model(folder, "fp32", 1), Tokenizer.load(folder)
    ids = tokenizer.encode(TEXT, special=False)
    with torch.inference_mode():
        expected = theirs(torch.tensor([ids])).logits[0]
    assert (reference.logits(ours, ids) - expected).abs().max() < 2e-3
    perplexity = float(np.exp(-np.mean(reference.logprobs(ours, ids))))
    table = expected.log_softmax(-1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]
    assert perplexity == pytest.approx(float((-table.mean()).exp()), rel=1e-4)
    question = [Message(role="user", content="Name three trees that grow in India.")]
    prompt = tokenizer.encode(ChatTemplate.load(folder).render(question), special=True)
    answer = reference.greedy(ours, prompt, 40)
    with torch.inference_mode():
        written = theirs.generate(
            torch.tensor([prompt]), max_new_tokens=40, do_sample=False, eos_token_id=2
        )
    assert written[0, len(prompt) :].tolist() == answer


@pytest.mark.models
def test_bf16_and_packed_stay_near_fp32_on_the_packaged_model(models_home):
    folder = models_home / "models" / "smollm2-135m-instruct"
    ids = Tokenizer.load(folder).encode(TEXT, special=False)
    exact = reference.logits(load_model(folder, "fp32", 1), ids).log_softmax(-1)
    sizes = {}
    for precision, bound in (("bf16", 0.005), ("packed", 0.01)):
        model = load_model(folder, precision, 1)
        sizes[precision] = model.size_bytes
        found = reference.logits(model, ids).log_softmax(-1)
        divergence = (exact.exp() * (exact - found)).sum(-1).mean()
        assert 0 < divergence < bound
    assert sizes["packed"] < 0.5 * sizes["bf16"]
