"""Batching texts by length: every one once, none over budget, results in their own order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from banyan.core.context import Context
from banyan.engine.encoding import batches, encode


@given(lengths=st.lists(st.integers(1, 60), max_size=40), budget=st.integers(1, 100))
def test_every_text_is_in_one_batch_and_no_batch_exceeds_its_budget(lengths, budget):
    made = list(batches(lengths, budget))
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    for batch in made:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget


@given(texts=st.lists(st.text(alphabet="ab ", max_size=12), max_size=12))
def test_vectors_come_back_in_the_order_of_their_texts(texts):
    def tokenise(some):
        return [[len(text) + 1] * (len(text) + 1) for text in some]

    def run(ids, lengths):
        assert (ids.astype(bool).sum(axis=1) == lengths).all()
        return np.stack([lengths, 3 * np.ones_like(lengths)], axis=1).astype(np.float32)

    vectors = encode(texts, 2, tokenise, run, Context())
    for text, vector in zip(texts, vectors, strict=True):
        expected = np.array([len(text) + 1, 3]) / np.hypot(len(text) + 1, 3)
        np.testing.assert_allclose(vector, expected if text.strip() else [0, 0], rtol=1e-6)
