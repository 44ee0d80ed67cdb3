"""Text to token ids and back, whole or as a stream.

The work is done by the ``tokenizers`` library; what is added is reading either kind of checkpoint,
keeping special tokens out of user text, and giving out only whole characters.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import tokenizers

from banyan.core.errors import CheckpointInvalid
from banyan.engine import gguf_model, gguf_tokenizer, huggingface
from banyan.engine.checkpoint import find_gguf
from banyan.engine.gguf import GgufFile
from banyan.engine.metadata import Metadata, read_json
from banyan.engine.slice_file import SUFFIX, open_lexicon

UNFINISHED: Final = "\ufffd"  # what a decoder writes for bytes that are no character yet
LONGEST_WAIT: Final = 8  # tokens that may pass without a whole character; then it is not one


class Tokenizer:
    """``bos_ids`` is what the model wants in front of raw text (chat templates write their own);
    ``eos_ids`` are the tokens that end a turn."""

    def __init__(
        self, backend: tokenizers.Tokenizer, *, bos_ids: Sequence[int], eos_ids: Sequence[int]
    ) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self.bos_ids = tuple(bos_ids)
        self.eos_ids = tuple(eos_ids)

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """The tokenizer of a GGUF file, a Hugging Face folder or the slice of a rank 0.

        Raises ``CheckpointInvalid`` and ``UnsupportedModel``.
        """
        if path.suffix == SUFFIX:
            return _from_slice(path)
        gguf = find_gguf(path)
        return _from_gguf(gguf) if gguf is not None else _from_folder(path)

    @property
    def definition(self) -> str:
        """All of it but the ids, as JSON of the library."""
        return str(self._backend.to_str())

    @property
    def vocab_size(self) -> int:
        return int(self._backend.get_vocab_size())

    def encode(self, text: str, special: bool) -> list[int]:
        """The ids of ``text``; nothing is put in front or behind (see ``bos_ids``).

        ``special``: the names of special tokens in the text mean those tokens, as in a rendered
        chat template. Without it they are plain characters, so that no user's text can end a turn.
        """
        with self._lock:  # the switch lies on the shared object
            self._backend.encode_special_tokens = not special
            encoding = self._backend.encode(text, add_special_tokens=False)
        return list(encoding.ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids``, special tokens left out."""
        return str(self._backend.decode(list(ids), skip_special_tokens=True))

    def token_text(self, token: int) -> str:
        """One token as it reads in the middle of a text; special tokens by their names."""
        # Decoders drop the space before a text's first word: decode it twice, keep the second.
        once = self._backend.decode([token], skip_special_tokens=False)
        twice = self._backend.decode([token, token], skip_special_tokens=False)
        return str(twice[len(once) :])

    def stream(self, after: Sequence[int] = ()) -> Detokeniser:
        """A decoder for ids that arrive one by one, following the ids ``after`` (not repeated)."""
        return Detokeniser(self, after)


class Detokeniser:
    """Gives out text as soon as its characters are whole."""

    def __init__(self, tokenizer: Tokenizer, after: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._ids = list(after[-LONGEST_WAIT:])
        self._shown = tokenizer.decode(self._ids)
        self._waiting = 0

    def push(self, token: int) -> str:
        """The text that ``token`` completes; empty while a character is unfinished."""
        self._ids.append(token)
        self._waiting += 1
        text = self._tokenizer.decode(self._ids)
        if text.endswith(UNFINISHED) and self._waiting < LONGEST_WAIT:
            return ""
        return self._give(text)

    def flush(self) -> str:
        """What is left at the end, unfinished characters as U+FFFD."""
        return self._give(self._tokenizer.decode(self._ids))

    def _give(self, text: str) -> str:
        # Tokens are decoded together with those before them, since a decoder treats the first
        # one differently; what was shown already is cut off, and old tokens are let go.
        new = text[len(self._shown) :]
        if self._waiting:
            self._ids = self._ids[-max(self._waiting, 1) :]
            self._shown = self._tokenizer.decode(self._ids)
            self._waiting = 0
        return new


def _from_gguf(path: Path) -> Tokenizer:
    file = GgufFile(path)
    values = Metadata(file, path.name)
    bos: list[int] = []
    # Files that say nothing follow their kind: SentencePiece models begin with a token, BPE not.
    sentencepiece = values.text("tokenizer.ggml.model") == "llama"
    if values.flag("tokenizer.ggml.add_bos_token", sentencepiece):
        bos = [values.integer("tokenizer.ggml.bos_token_id")]
    return Tokenizer(gguf_tokenizer.build(file), bos_ids=bos, eos_ids=gguf_model.read_eos_ids(file))


def _from_slice(path: Path) -> Tokenizer:
    lexicon = open_lexicon(path)
    try:
        backend = tokenizers.Tokenizer.from_str(lexicon.tokenizer)
    except Exception as error:  # the library raises no narrower class
        raise CheckpointInvalid(f"{path.name} holds no tokenizer: {error}.") from None
    return Tokenizer(backend, bos_ids=lexicon.bos_ids, eos_ids=lexicon.eos_ids)


def _from_folder(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    read_json(path)
    try:
        backend = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower class
        raise CheckpointInvalid(f"{path} is not a tokenizer: {error}.") from None
    backend.no_truncation()
    backend.no_padding()
    # What the post-processor puts in front of an empty text is what raw text begins with.
    first = list(backend.encode("", add_special_tokens=True).ids)
    eos_ids = huggingface.read_eos_ids(folder)
    return Tokenizer(
        backend, bos_ids=[token for token in first if token not in eos_ids], eos_ids=eos_ids
    )
