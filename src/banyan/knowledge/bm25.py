"""BM25 (Robertson and Zaragoza 2009), with the idf of Lucene, which is never negative."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.float64]

K1 = 1.2
B = 0.75


def idf(holding: Counts, total: float) -> Counts:
    """ln(1 + (N - n + 0.5) / (n + 0.5)) for terms held by ``holding`` of ``total`` chunks."""
    return np.log1p((total - holding + 0.5) / (holding + 0.5))


def weights(frequencies: Counts, lengths: Counts, mean_length: float) -> Counts:
    """The share of one term in each chunk's score, before its idf."""
    return frequencies * (K1 + 1) / (frequencies + K1 * (1 - B + B * lengths / mean_length))
