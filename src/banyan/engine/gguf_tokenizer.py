"""Rebuild a tokenizer from a GGUF file's metadata.

Two kinds exist in the supported families: byte-level BPE (``gpt2``), whose way of cutting text
before merging the file names under ``tokenizer.ggml.pre``; and SentencePiece BPE (``llama``), whose
merges follow from the scores. The result is an object of the ``tokenizers`` library; ids equal
those of the models' own tokenizers (tests compare).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from banyan.core.errors import CheckpointInvalid, UnsupportedModel
from banyan.engine.gguf import GgufFile
from banyan.engine.metadata import Metadata

NORMAL: Final = 1  # token types of the GGUF specification
UNKNOWN: Final = 2
CONTROL: Final = 3
USER_DEFINED: Final = 4
SPACE: Final = "▁"

_CONTRACTIONS: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_TAIL: Final = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER: Final = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"
_LOWER: Final = r"\p{Ll}\p{Lm}\p{Lo}\p{M}"

_LLAMA3: Final = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _TAIL
_QWEN2: Final = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _TAIL
_TEKKEN: Final = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+"
    rf"|[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """How text is cut before merging. No ``pattern``: GPT-2's own, built into the library.

    ``digits`` makes each digit a piece; ``whole_words`` takes a piece that is a token as it is.
    """

    pattern: str = ""
    digits: bool = False
    whole_words: bool = False
    composed: bool = False


_CUTS: Final[Mapping[str, _Cut]] = {
    "default": _Cut(),
    "gpt-2": _Cut(),
    "smollm": _Cut(digits=True),
    "llama-bpe": _Cut(pattern=_LLAMA3, whole_words=True),
    "llama3": _Cut(pattern=_LLAMA3, whole_words=True),
    "qwen2": _Cut(pattern=_QWEN2, composed=True),
    "tekken": _Cut(pattern=_TEKKEN, whole_words=True),
}


def build(file: GgufFile) -> Tokenizer:
    """The file's tokenizer. Raises ``CheckpointInvalid``, ``UnsupportedModel``."""
    values = Metadata(file, file.path.name)
    kind = values.text("tokenizer.ggml.model")
    tokens = values.texts("tokenizer.ggml.tokens")
    if kind == "gpt2":
        tokenizer = _byte_level(values, tokens)
    elif kind == "llama":
        tokenizer = _sentencepiece(values, tokens)
    else:
        raise UnsupportedModel(
            f"{values.source} has a tokenizer of the kind {kind!r}, which is not read.",
            remedy="Use the model's Hugging Face folder.",
        )
    _add_special_tokens(tokenizer, values, tokens)
    return tokenizer


def _byte_level(values: Metadata, tokens: list[str]) -> Tokenizer:
    name = values.text("tokenizer.ggml.pre", "default")
    if name not in _CUTS:
        raise UnsupportedModel(
            f"{values.source} cuts text in the way {name!r}, which is not known.",
            remedy=f"Known are {', '.join(_CUTS)}; or use the model's Hugging Face folder.",
        )
    cut = _CUTS[name]
    merges = [_pair(values, merge) for merge in values.texts("tokenizer.ggml.merges")]
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(_bpe(values, vocab, merges, ignore_merges=cut.whole_words))
    steps = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not cut.pattern)]
    if cut.pattern:
        steps.insert(0, pre_tokenizers.Split(Regex(cut.pattern), "isolated"))
    if cut.digits:
        steps.insert(0, pre_tokenizers.Digits(individual_digits=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    if cut.composed:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _pair(values: Metadata, merge: str) -> tuple[str, str]:
    left, gap, right = merge.partition(" ")
    if not (left and gap and right):
        raise CheckpointInvalid(f"{values.source}: the merge {merge!r} is not two tokens.")
    return left, right


def _sentencepiece(values: Metadata, tokens: list[str]) -> Tokenizer:
    scores = values.numbers("tokenizer.ggml.scores")
    if len(scores) != len(tokens):
        raise CheckpointInvalid(f"{values.source} has {len(scores)} scores, {len(tokens)} tokens.")
    vocab = {token: index for index, token in enumerate(tokens)}
    unknown = values.integer("tokenizer.ggml.unknown_token_id", 0)
    if not 0 <= unknown < len(tokens):
        raise CheckpointInvalid(f"{values.source}: there is no token {unknown}.")
    types = _types(values, tokens)
    merges = _merges(tokens, scores, types)
    model = _bpe(
        values, vocab, merges, unk_token=tokens[unknown], fuse_unk=True, byte_fallback=True
    )
    tokenizer = Tokenizer(model)
    to_marks: list[normalizers.Normalizer] = [normalizers.Replace(" ", SPACE)]
    to_text = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if values.flag("tokenizer.ggml.add_space_prefix", True):
        to_marks.insert(0, normalizers.Prepend(SPACE))
        to_text.append(decoders.Strip(content=" ", left=1, right=0))
    tokenizer.normalizer = normalizers.Sequence(to_marks)
    tokenizer.decoder = decoders.Sequence(to_text)
    return tokenizer


def _merges(tokens: list[str], scores: list[float], types: list[int]) -> list[tuple[str, str]]:
    """Every way to make a token of two others, the best-scored token first."""
    ordinary = {token for token, kind in zip(tokens, types, strict=True) if kind == NORMAL}
    ranked = sorted(range(len(tokens)), key=lambda index: (-scores[index], index))
    merges = []
    for index in ranked:
        token = tokens[index]
        if types[index] != NORMAL:
            continue
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in ordinary and right in ordinary:
                merges.append((left, right))
    return merges


def _bpe(
    values: Metadata, vocab: dict[str, int], merges: list[tuple[str, str]], **options: object
) -> models.BPE:
    try:
        return models.BPE(vocab=vocab, merges=merges, **options)
    except Exception as error:  # the library raises no narrower class
        raise CheckpointInvalid(
            f"{values.source}: the vocabulary and its merges disagree: {error}."
        ) from None


def _types(values: Metadata, tokens: list[str]) -> list[int]:
    types = values.integers("tokenizer.ggml.token_type")
    if len(types) != len(tokens):
        raise CheckpointInvalid(f"{values.source} has {len(types)} types, {len(tokens)} tokens.")
    return types


def _add_special_tokens(tokenizer: Tokenizer, values: Metadata, tokens: list[str]) -> None:
    types = _types(values, tokens)
    pairs = list(zip(tokens, types, strict=True))
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False) for token, kind in pairs if kind in (UNKNOWN, CONTROL)]
    )
    tokenizer.add_tokens(
        [AddedToken(token, normalized=False) for token, kind in pairs if kind == USER_DEFINED]
    )
