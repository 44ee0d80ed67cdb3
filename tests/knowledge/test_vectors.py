from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from banyan.knowledge.vectors import SegmentVectors, VectorCache, pack, unpack


def _unit_rows(rows: int, dimensions: int) -> np.ndarray:
    matrix = np.random.default_rng(0).standard_normal((rows, dimensions)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def test_a_packed_cosine_is_off_by_less_than_two_thousandths() -> None:
    matrix, question = _unit_rows(2000, 512), _unit_rows(2001, 512)[-1]
    error = np.abs(unpack(b"".join(pack(matrix)), 512) @ question - matrix @ question)
    assert error.max() < 0.002
    assert error.mean() < 0.0005


@given(
    arrays.arrays(
        np.float32, (3, 8), elements=st.floats(-1, 1, width=32).map(lambda x: np.float32(x))
    )
)
def test_packing_keeps_every_value_within_half_a_step_and_is_stable(matrix: np.ndarray) -> None:
    back = unpack(b"".join(pack(matrix)), 8)
    step = np.abs(matrix).max(axis=1, keepdims=True) / 127
    assert (np.abs(back - matrix) <= step * 0.5001 + 1e-30).all()
    assert np.allclose(unpack(b"".join(pack(back)), 8), back, rtol=1e-6)


def test_a_row_of_zeros_stays_zero() -> None:
    assert not unpack(pack(np.zeros((1, 4), np.float32))[0], 4).any()


def test_no_rows_pack_to_nothing() -> None:
    assert pack(np.zeros((0, 4), np.float32)) == []
    assert unpack(b"", 4).shape == (0, 4)


def _vectors(kilobytes: int) -> SegmentVectors:
    return SegmentVectors(
        rows=np.zeros(kilobytes, np.int64), matrix=np.zeros((kilobytes, 256), np.float32)
    )


def test_the_cache_loads_once_and_drops_what_was_used_longest_ago() -> None:
    cache = VectorCache(limit_bytes=2500)
    loaded: list[int] = []

    def use(segment: int) -> None:
        def load() -> SegmentVectors:
            loaded.append(segment)
            return _vectors(1)

        cache.get((segment, 0, 0), load)

    for segment in (1, 2, 1, 3, 1, 2):
        use(segment)
    assert loaded == [1, 2, 3, 2]
    assert cache.size_bytes == 2048


def test_a_segment_larger_than_the_cache_is_still_served() -> None:
    cache = VectorCache(limit_bytes=10)
    assert len(cache.get((1, 0, 0), lambda: _vectors(3)).rows) == 3


@pytest.mark.parametrize("live", [{(1, 1)}, set()])
def test_what_is_no_longer_live_is_forgotten(live: set[tuple[int, int]]) -> None:
    cache = VectorCache()
    cache.get((1, 0, 0), lambda: _vectors(1))
    cache.keep_only(live)
    assert cache.size_bytes == 0
