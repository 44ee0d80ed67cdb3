"""RemoteEmbedder: the ``Embedder`` port over a server's ``/v1/embeddings``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from banyan.core.context import Context
from banyan.core.errors import RemoteModelFailed
from banyan.models.endpoint import endpoint
from banyan.models.exchange import Json, fetch_json

if TYPE_CHECKING:
    from banyan.core.ports import FloatMatrix

BATCH_TEXTS = 64


class RemoteEmbedder:
    """Its name holds server and model, so that vectors of two servers are never compared."""

    def __init__(self, url: str, model: str, key: str = "", *, dimensions: int) -> None:
        self._endpoint = endpoint(url, key)
        self._model = model
        self.dimensions = dimensions

    @property
    def name(self) -> str:
        return f"{self._model}@{self._endpoint.host}"

    def embed(self, texts: Sequence[str], context: Context) -> FloatMatrix:
        """As the port says; empty texts are not sent. Raises ``RemoteModelFailed``."""
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        wanted = [index for index, text in enumerate(texts) if text.strip()]
        for start in range(0, len(wanted), BATCH_TEXTS):
            batch = wanted[start : start + BATCH_TEXTS]
            body = {"model": self._model, "input": [texts[index] for index in batch]}
            answer = fetch_json(self._endpoint, "embeddings", context, body)
            rows[batch] = self._vectors(answer, len(batch))
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: FloatMatrix = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
        return unit

    def _vectors(self, answer: Json, count: int) -> FloatMatrix:
        vectors = embeddings(answer)
        if vectors is None or vectors.shape != (count, self.dimensions):
            shape = None if vectors is None else vectors.shape
            raise RemoteModelFailed(
                f"{self._endpoint.host} answered with embeddings of shape {shape}, not "
                f"{(count, self.dimensions)}."
            )
        return vectors


def embeddings(answer: Json) -> FloatMatrix | None:
    """The vectors of an answer in the order of its ``index``, or None when they are no matrix."""
    data = answer.get("data")
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        return None
    try:
        ordered = sorted(data, key=lambda entry: int(entry.get("index", 0)))
        matrix = np.asarray([entry["embedding"] for entry in ordered], dtype=np.float32)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return matrix if matrix.ndim == 2 and bool(np.isfinite(matrix).all()) else None
