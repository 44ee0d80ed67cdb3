"""One BERT encoder, run in whichever way is done sooner: a question in numpy, a folder in torch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from banyan.core.context import Context
from banyan.core.ports import Embedder

if TYPE_CHECKING:
    from banyan.core.ports import FloatMatrix

FEW_CHARS = 2_000
"""Up to so much text is embedded in numpy, which needs no torch; more is worth loading it."""


class AdaptiveEncoder:
    """An ``Embedder`` that loads at its first use; both ways give the same vectors to three digits.

    ``may_import_torch`` False: it is never worth it, since this process must stay small.
    """

    def __init__(self, path: Path, *, name: str, dimensions: int, threads: int) -> None:
        self.name = name
        self.dimensions = dimensions
        self.may_import_torch = True
        self._path = path
        self._threads = threads
        self._small = _once(lambda: load_without_torch(path))
        self._large = _once(self._load_large)

    def embed(self, texts: Sequence[str], context: Context) -> FloatMatrix:
        """See ``Embedder``."""
        large = self.may_import_torch and sum(map(len, texts)) > FEW_CHARS
        return (self._large if large else self._small)().embed(texts, context)

    def _load_large(self) -> Embedder:
        from banyan.engine.encoder import Encoder  # imports torch

        return Encoder.load(self._path, "auto", self._threads)


def load_without_torch(path: Path) -> Embedder:
    """The encoder of a folder in numpy; needs the extra ``engine`` for its tokenizer alone.

    Raises ``CheckpointInvalid`` and ``UnsupportedModel``.
    """
    from banyan.engine.encoder_numpy import NumpyEncoder

    return NumpyEncoder.load(path)


def _once(load: Callable[[], Embedder]) -> Callable[[], Embedder]:
    """``load`` called by the first of any threads that need it."""
    cached, lock = cache(load), threading.Lock()

    def get() -> Embedder:
        with lock:
            return cached()

    return get
