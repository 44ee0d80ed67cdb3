"""A GGUF header made by hand, for tests of those who only read headers."""

from __future__ import annotations

import struct


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def strings(*values: str) -> bytes:
    return struct.pack("<IQ", 8, len(values)) + b"".join(map(text, values))


def gguf(
    architecture: str, *, context: int | None = 64, title: str = "", licence: str = ""
) -> bytes:
    """Metadata in an awkward order: arrays first, then what matters, then the tokenizer's."""
    pairs = [
        pair("general.tags", 9, strings("one", "two")),
        pair("general.numbers", 9, struct.pack("<IQ3I", 4, 3, 1, 2, 3)),
        pair("general.architecture", 8, text(architecture)),
        pair("general.name", 8, text(title)),
        pair("general.license", 8, text(licence)),
    ]
    if context is not None:
        pairs.append(pair(f"{architecture}.context_length", 4, struct.pack("<I", context)))
    pairs.append(pair("tokenizer.ggml.tokens", 9, strings(*"abc")))
    return struct.pack("<4sIQQ", b"GGUF", 3, 0, len(pairs)) + b"".join(pairs)
