"""Lexicon: what turns text into tokens and back, as plain values that can travel with a slice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexicon:
    """``tokenizer`` is the JSON of the ``tokenizers`` library, ``template`` the source of the chat
    template (empty: the model has none); the rest is as in ``Tokenizer`` and ``ChatTemplate``."""

    tokenizer: str
    bos_ids: tuple[int, ...]
    eos_ids: tuple[int, ...]
    template: str = ""
    bos_token: str = ""
    eos_token: str = ""
