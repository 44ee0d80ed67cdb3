"""Both BERT encoders: against ``transformers`` on tiny checkpoints, and against each other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
from tokenizers import models, pre_tokenizers, processors

from banyan.core.context import Context
from banyan.core.errors import Cancelled, CheckpointInvalid, UnsupportedModel
from banyan.engine.encoder import Encoder
from banyan.engine.encoder_numpy import NumpyEncoder

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *["the", "a", "tree", "stands", "on", "many", "thin", "trunks", "in", "one"],
]
TEXTS = ["the tree stands", "", "on many thin trunks a tree stands in one", "   ", "a", "zebra"]
MAX_TOKENS = 12


def make_folder(folder: Path, pooling: str = "mean_tokens", **options: object) -> Path:
    import transformers

    shape = {
        "vocab_size": len(WORDS),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 16,
    }
    config = transformers.BertConfig(**{**shape, **options})
    torch.manual_seed(3)
    model = transformers.BertModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    tokenizer = tokenizers.Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{pooling}": True, "pooling_mode_max_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, **modes})
    )
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": MAX_TOKENS}))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("Tiny-Encoder"))


def expected(folder: Path, text: str, pooling: str) -> np.ndarray:
    import transformers

    model = transformers.BertModel.from_pretrained(folder, dtype=torch.float32).eval()
    known = {word: index for index, word in enumerate(WORDS)}
    inner = [known.get(word, 1) for word in text.split()][: MAX_TOKENS - 2]
    with torch.no_grad():
        rows = model(torch.tensor([[2, *inner, 3]])).last_hidden_state[0]
    vector = rows.mean(0) if pooling == "mean_tokens" else rows[0]
    return (vector / vector.norm()).numpy()


@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token"])
@pytest.mark.parametrize("kind", [Encoder, NumpyEncoder])
def test_vectors_equal_those_of_transformers(tmp_path, kind, pooling):
    folder = make_folder(tmp_path / "model", pooling)
    encoder = Encoder.load(folder, "fp32", 1) if kind is Encoder else NumpyEncoder.load(folder)
    vectors = encoder.embed(TEXTS, Context())
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), encoder.dimensions)
    for text, vector in zip(TEXTS, vectors, strict=True):
        if text.strip():
            np.testing.assert_allclose(vector, expected(folder, text, pooling), atol=1e-5)
        else:
            assert not vector.any()


def test_a_text_longer_than_the_model_takes_is_embedded_by_its_beginning(folder):
    encoder = NumpyEncoder.load(folder)
    long, cut = "tree stands on " * 30, "tree stands on " * 3 + "tree"
    first, second = encoder.embed([long, cut], Context())
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_a_text_has_the_same_vector_alone_and_among_others(folder):
    encoder = Encoder.load(folder, "fp32", 1)
    many = [" ".join(WORDS[4 : 5 + index % 9]) for index in range(40)]
    together = encoder.embed(many, Context())
    for index in (0, 7, 39):
        alone = encoder.embed([many[index]], Context())[0]
        np.testing.assert_allclose(together[index], alone, atol=1e-5)


def test_bf16_stays_near_fp32(folder):
    exact = Encoder.load(folder, "fp32", 1).embed(TEXTS, Context())
    rough = Encoder.load(folder, "bf16", 1).embed(TEXTS, Context())
    assert 0 < np.abs(exact - rough).max() < 0.05


def test_a_cancelled_request_stops(folder):
    context = Context()
    context.cancel.set()
    with pytest.raises(Cancelled):
        NumpyEncoder.load(folder).embed(TEXTS, context)


def test_the_name_is_the_folders(folder):
    assert NumpyEncoder.load(folder).name == folder.name.lower()


def test_no_texts_give_no_rows(folder):
    assert NumpyEncoder.load(folder).embed([], Context()).shape == (0, 32)


def test_what_is_not_a_bert_is_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "xlm-roberta"}))
    with pytest.raises(UnsupportedModel, match="xlm-roberta"):
        NumpyEncoder.load(tmp_path)


def test_an_unknown_activation_or_pooling_is_refused(tmp_path):
    folder = make_folder(tmp_path / "one", "max_tokens")
    with pytest.raises(UnsupportedModel, match="pools"):
        NumpyEncoder.load(folder)
    folder = make_folder(tmp_path / "two", hidden_act="relu")
    with pytest.raises(UnsupportedModel, match="hidden_act"):
        NumpyEncoder.load(folder)


def test_a_checkpoint_of_another_shape_is_refused(tmp_path):
    folder = make_folder(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    with pytest.raises(CheckpointInvalid, match="intermediate"):
        Encoder.load(folder, "fp32", 1)


def test_the_numpy_encoder_needs_no_torch():
    code = "import sys, banyan.engine.encoder_numpy; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.models
def test_the_packaged_encoder_agrees_with_its_oracle(models_home):
    folder = models_home / "models" / "all-minilm-l6-v2"
    texts = ["How do I run a model?", "The quick brown fox.", "long " * 300, "你好"]
    oracle, fast = NumpyEncoder.load(folder), Encoder.load(folder, "fp32", 1)
    assert oracle.name == fast.name == "all-minilm-l6-v2"
    np.testing.assert_allclose(
        fast.embed(texts, Context()), oracle.embed(texts, Context()), atol=1e-5
    )
