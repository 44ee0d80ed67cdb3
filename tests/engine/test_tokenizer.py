"""Tokenizers rebuilt from GGUF against those of ``transformers``; streams; special tokens."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import gguf
import pytest
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from transformers.convert_slow_tokenizer import TikTokenConverter, generate_merges

from banyan.core.errors import CheckpointInvalid, UnsupportedModel
from banyan.engine.tokenizer import Tokenizer

CORPUS = [
    "The banyan tree stands on many thin trunks; so does this, isn't it? We'll see.",
    "你好，世界！今天天气很好，我们去看榕树吧。榕树有很多气根。",
    "def area(radius):\n    return 3.14159 * radius**2  # squared\n\n\n\tprint(area(10))\r\n",
    "😀👍🏽 café naïve Ångström É e\u0301 ﬁ ½ ① Ⅷ ٣٤٥ 1234567 12,345.67",
    "  leading   runs    of     spaces \n \n\n and\ttabs\t\t end  ",
    "日本語のテキスト 한국어 텍스트 العربية עברית ไทย हिन्दी",
    "I'M HERE, you'RE there; camelCase HTTPServer snake_case x==y && !z || a<<2",
    "https://example.org/path?query=1&other=2#part <tag attr='x'>text</tag>",
    "",
    " ",
    "\n",
]
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_level_parts() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A small byte-level vocabulary and its merges, trained on the corpus."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS * 3, trainer)
    model = json.loads(backend.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def sentencepiece_parts() -> tuple[list[str], list[float], list[int]]:
    """Tokens, scores and types as a SentencePiece BPE model holds them."""
    backend = tokenizers.Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=300, show_progress=False)
    backend.train_from_iterator([text.replace(" ", "▁") for text in CORPUS[:2] * 3], trainer)
    vocab = backend.get_vocab()
    learnt = sorted(vocab, key=lambda token: (len(token) == 1, vocab[token]))
    bytes_ = [f"<0x{value:02X}>" for value in range(256)]
    tokens = ["<unk>", "<s>", "</s>", *bytes_, *learnt]
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(learnt)]
    return tokens, [0.0] * 259 + [-float(rank) for rank in range(len(learnt))], types


def write(path: Path, kind: str, tokens: list[str], types: list[int], **extra: object) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(kind)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    for key, value in extra.items():
        getattr(writer, f"add_{key}")(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_byte_level(path: Path, pre: str) -> Path:
    vocab, merges = byte_level_parts()
    tokens = sorted(vocab, key=vocab.__getitem__)
    return write(
        path,
        "gpt2",
        tokens,
        [CONTROL if token in SPECIAL else NORMAL for token in tokens],
        token_merges=[" ".join(pair) for pair in merges],
        tokenizer_pre=pre,
        eos_token_id=vocab["<|endoftext|>"],
    )


def tiktoken_like() -> tokenizers.Tokenizer:
    """Llama 3's tokenizer as transformers makes it: its own pattern, whole words first."""
    pattern = inspect.signature(TikTokenConverter.__init__).parameters["pattern"].default
    vocab, merges = byte_level_parts()
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=True))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return backend


def smollm_like() -> tokenizers.Tokenizer:
    """The tokenizer.json of SmolLM2: single digits, then GPT-2's cut."""
    vocab, merges = byte_level_parts()
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    return backend


def oracle(pre: str) -> tokenizers.Tokenizer:
    vocab, merges = byte_level_parts()
    if pre == "llama-bpe":
        return tiktoken_like()
    if pre == "smollm":
        return smollm_like()
    kind = {"qwen2": transformers.Qwen2Tokenizer, "gpt-2": transformers.GPT2Tokenizer}[pre]
    return kind(vocab=vocab, merges=merges).backend_tokenizer


@pytest.mark.parametrize("pre", ["gpt-2", "smollm", "llama-bpe", "qwen2"])
def test_byte_level_ids_equal_those_of_the_models_own_tokenizer(tmp_path, pre):
    ours = Tokenizer.load(write_byte_level(tmp_path / "x.gguf", pre))
    theirs = oracle(pre)
    for text in CORPUS:
        assert ours.encode(text, special=False) == theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("prefix", [True, False])
def test_sentencepiece_ids_equal_those_of_transformers(tmp_path, prefix):
    tokens, scores, types = sentencepiece_parts()
    path = write(
        tmp_path / "x.gguf",
        "llama",
        tokens,
        types,
        token_scores=scores,
        add_space_prefix=prefix,
        bos_token_id=1,
        eos_token_id=2,
        unk_token_id=0,
    )
    ours = Tokenizer.load(path)
    assert ours.bos_ids == (1,)
    vocab = {token: index for index, token in enumerate(tokens)}
    merges = generate_merges(
        {token: vocab[token] for token in tokens[259:]},
        dict(zip(tokens[259:], scores[259:], strict=True)),
    )
    kind = transformers.LlamaTokenizer if prefix else transformers.GemmaTokenizer
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    theirs = kind(vocab=vocab, merges=merges, **names)
    for text in CORPUS:
        ids = ours.encode(text, special=False)
        assert ours.decode(ids) == text
        # SentencePiece puts its space before every text; transformers not where one stands there.
        if not (prefix and text.startswith(" ")):
            assert ids == theirs.encode(text, add_special_tokens=False)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.load(write_byte_level(tmp_path_factory.mktemp("t") / "x.gguf", "smollm"))


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=60))
def test_a_stream_gives_the_text_whatever_it_is(tokenizer, text):
    ids = tokenizer.encode(text, special=False)
    stream = tokenizer.stream()
    pieces = [stream.push(token) for token in ids]
    assert "".join(pieces) + stream.flush() == tokenizer.decode(ids) == text


def test_a_stream_gives_out_only_whole_characters(tokenizer):
    stream = tokenizer.stream()
    pieces = [stream.push(token) for token in tokenizer.encode("a🪵榕", special=False)]
    assert [piece for piece in pieces if piece] == ["a", "🪵", "榕"]
    assert stream.flush() == ""


def test_a_stream_that_ends_within_a_character_says_so_at_the_end(tokenizer):
    ids = tokenizer.encode("ok 🪵", special=False)[:-1]
    stream = tokenizer.stream()
    assert "".join(stream.push(token) for token in ids) == "ok "
    assert stream.flush() == "\ufffd"


def test_bytes_that_never_become_a_character_do_not_hold_the_stream_up(tokenizer):
    start = tokenizer.encode("🪵", special=False)[0]
    stream = tokenizer.stream()
    assert "\ufffd" in "".join(stream.push(start) for _ in range(20))


def test_names_of_special_tokens_in_user_text_stay_text(tokenizer):
    text = "say <|im_end|> now"
    plain, special = tokenizer.encode(text, special=False), tokenizer.encode(text, special=True)
    end = tokenizer.encode("<|im_end|>", special=True)
    assert len(end) == 1
    assert end[0] in special
    assert end[0] not in plain
    assert tokenizer.decode(plain) == text
    assert tokenizer.decode(special) == "say  now"
    assert tokenizer.token_text(end[0]) == "<|im_end|>"


def test_the_ends_of_a_turn_are_known_by_number_and_by_name(tokenizer):
    ids = [tokenizer.encode(name, special=True)[0] for name in ("<|endoftext|>", "<|im_end|>")]
    assert set(tokenizer.eos_ids) == set(ids)


def test_a_tokens_text_keeps_its_space(tmp_path):
    tokens, scores, types = sentencepiece_parts()
    path = write(tmp_path / "x.gguf", "llama", tokens, types, token_scores=scores, bos_token_id=1)
    tokenizer = Tokenizer.load(path)
    pieces = [tokenizer.token_text(token) for token in tokenizer.encode("many trunks", False)]
    assert "".join(pieces) == " many trunks"
    assert tokenizer.decode(tokenizer.encode("many trunks", False)) == "many trunks"
    first, *rest = tokenizer.encode("many trunks", False)
    stream = tokenizer.stream(after=[first])
    assert "".join(stream.push(token) for token in rest) == "".join(pieces)[len(pieces[0]) :]


def test_a_folders_tokenizer_is_used_as_it_is_without_its_padding(tmp_path):
    backend = smollm_like()
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(SPECIAL)
    backend.enable_padding(length=50)
    backend.enable_truncation(2)
    backend.save(str(tmp_path / "tokenizer.json"))
    config = {"model_type": "llama", "eos_token_id": 0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2]}))
    tokenizer = Tokenizer.load(tmp_path)
    ids = tokenizer.encode(CORPUS[0], special=False)
    assert len(ids) > 2
    assert tokenizer.decode(ids) == CORPUS[0]
    assert tokenizer.eos_ids == (2, 0)
    assert tokenizer.bos_ids == ()


@pytest.mark.parametrize(
    ("kind", "extra", "error"),
    [
        ("gpt2", {"token_merges": ["a b"], "tokenizer_pre": "martian"}, UnsupportedModel),
        ("t5", {}, UnsupportedModel),
        ("gpt2", {"token_merges": ["ab"]}, CheckpointInvalid),
        ("gpt2", {"token_merges": ["x y"]}, CheckpointInvalid),
        ("gpt2", {}, CheckpointInvalid),
        ("llama", {"token_scores": [0.0]}, CheckpointInvalid),
        ("llama", {"token_scores": [0.0, 0.0], "unk_token_id": 9}, CheckpointInvalid),
    ],
)
def test_a_tokenizer_that_cannot_be_rebuilt_is_refused(tmp_path, kind, extra, error):
    path = write(tmp_path / "x.gguf", kind, ["a", "b"], [1, 1], **extra)
    with pytest.raises(error):
        Tokenizer.load(path)


@pytest.mark.models
def test_the_packaged_tokenizer_reads_numbers_digit_by_digit_and_round_trips(models_home):
    tokenizer = Tokenizer.load(models_home / "models" / "smollm2-135m-instruct")
    assert len(tokenizer.encode("2024", special=False)) == 4
    for text in CORPUS:
        assert tokenizer.decode(tokenizer.encode(text, special=False)) == text
