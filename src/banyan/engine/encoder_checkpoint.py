"""A BERT encoder's folder: architecture, weights, tokenizer, and how rows become one vector.

Reads Hugging Face folders, with sentence-transformers' files for pooling where there are any.
Torch-free: both the torch encoder and the plain numpy one stand on this. BERT alone is read; a
RoBERTa, a T5 or a decoder used as an encoder is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tokenizers

from banyan.core.errors import CheckpointInvalid, UnsupportedModel
from banyan.engine import safetensors
from banyan.engine.config import EncoderConfig, Pooling
from banyan.engine.metadata import Metadata, read_json
from banyan.engine.stored import Stored

POOLING_CONFIG: Final = Path("1_Pooling") / "config.json"
SENTENCE_CONFIG: Final = "sentence_bert_config.json"
_POOLINGS: Final[Mapping[str, Pooling]] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
}
_PREFIX: Final = "bert."


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderCheckpoint:
    """Everything of an encoder but its arithmetic. Texts are cut at ``config.max_tokens``."""

    name: str
    config: EncoderConfig
    tensors: Mapping[str, Stored]
    tokenizer: tokenizers.Tokenizer

    def tensor(self, name: str, *shape: int) -> Stored:
        """The tensor ``name``; ``CheckpointInvalid`` when it is absent or not of ``shape``."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise CheckpointInvalid(f"{self.name} holds no tensor {name}.")
        if tensor.shape != shape:
            raise CheckpointInvalid(f"{self.name}: {name} is {tensor.shape}, not {shape}.")
        return tensor

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """[CLS] text [SEP] of each text."""
        return [list(encoding.ids) for encoding in self.tokenizer.encode_batch_fast(list(texts))]


def open_encoder(folder: Path) -> EncoderCheckpoint:
    """Raises ``CheckpointInvalid`` (damaged, incomplete) or ``UnsupportedModel`` (not a BERT)."""
    config = _read_config(folder)
    tensors = safetensors.read_folder(folder)
    return EncoderCheckpoint(
        name=folder.name.lower(),
        config=config,
        tensors={name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()},
        tokenizer=_read_tokenizer(folder / "tokenizer.json", config.max_tokens),
    )


def _read_config(folder: Path) -> EncoderConfig:
    values = read_json(folder / "config.json")
    kind = values.text("model_type")
    if kind != "bert":
        raise UnsupportedModel(
            f"{folder.name} is of the architecture {kind!r}; only BERT encoders are run.",
            remedy="Connect a server that offers /v1/embeddings for other encoders.",
        )
    wanted = {"hidden_act": "gelu", "position_embedding_type": "absolute"}
    for key, value in wanted.items():
        if values.text(key, value) != value:
            raise UnsupportedModel(f"{folder.name} asks for {key} = {values.text(key)!r}.")
    positions = values.integer("max_position_embeddings")
    return EncoderConfig(
        layers=values.integer("num_hidden_layers"),
        hidden=values.integer("hidden_size"),
        ffn=values.integer("intermediate_size"),
        heads=values.integer("num_attention_heads"),
        vocab=values.integer("vocab_size"),
        positions=positions,
        norm_eps=values.number("layer_norm_eps", 1e-12),
        pooling=_read_pooling(folder),
        max_tokens=min(positions, _optional(folder / SENTENCE_CONFIG, "max_seq_length", positions)),
    )


def _read_pooling(folder: Path) -> Pooling:
    """Mean, where nothing is said."""
    path = folder / POOLING_CONFIG
    if not path.is_file():
        return "mean"
    values = read_json(path)
    modes = [name for name in values.names() if name.startswith("pooling_mode_")]
    chosen = [name for name in modes if values.flag(name)]
    if len(chosen) != 1 or chosen[0] not in _POOLINGS:
        raise UnsupportedModel(f"{folder.name} pools by {', '.join(chosen) or 'nothing known'}.")
    return _POOLINGS[chosen[0]]


def _optional(path: Path, key: str, default: int) -> int:
    values = read_json(path) if path.is_file() else Metadata({}, path.name)
    return values.integer(key, default)


def _read_tokenizer(path: Path, max_tokens: int) -> tokenizers.Tokenizer:
    read_json(path)
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower class
        raise CheckpointInvalid(f"{path} is not a tokenizer: {error}.") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer
