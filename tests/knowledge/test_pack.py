"""Packing passages into a prompt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from banyan.core.types import Passage
from banyan.knowledge.fuse import Candidate
from banyan.knowledge.pack import MAX_PASSAGES, RoughCounter, pack


class Words:
    def count(self, text: str) -> int:
        return len(text.split())


def candidate(row: int, text: str) -> Candidate:
    passage = Passage(
        id=str(row),
        base_id="base",
        document_id=str(row),
        title="",
        heading_path=(),
        text=text,
        start=0,
        end=len(text),
        page=None,
        label="public",
        language="en",
        score=-row,
    )
    return Candidate(row=row, passage=passage, embedder="minilm", across=False, sentences=())


def test_the_best_passages_stand_at_the_ends_and_keep_their_numbers() -> None:
    packed = pack([candidate(row, "word") for row in range(5)], Words())
    assert [one.number for one in packed] == [1, 3, 5, 4, 2]
    assert [one.candidate.row for one in packed] == [0, 2, 4, 3, 1]


def test_a_passage_too_long_for_what_is_left_gives_way_to_a_shorter_one() -> None:
    texts = ["a " * 50, "b " * 500, "c " * 50]
    packed = pack([candidate(n, text) for n, text in enumerate(texts)], Words(), budget_tokens=200)
    assert [one.candidate.row for one in packed] == [0, 2]


def test_the_first_passage_is_cut_after_a_sentence_rather_than_left_out() -> None:
    text = "One short sentence. " * 40
    packed = pack([candidate(0, text)], Words(), budget_tokens=60)
    assert packed[0].text.endswith("sentence.")
    assert Words().count(packed[0].text) <= 60


@given(st.lists(st.integers(min_value=1, max_value=400), max_size=8), st.integers(50, 600))
def test_the_budget_is_kept_and_numbers_follow_the_ranking(sizes: list[int], budget: int) -> None:
    packed = pack(
        [candidate(row, "w " * size) for row, size in enumerate(sizes)],
        Words(),
        budget_tokens=budget,
    )
    assert sum(Words().count(one.text) for one in packed) <= budget or len(packed) == 1
    assert len(packed) <= MAX_PASSAGES
    ranked = sorted(packed, key=lambda one: one.number)
    assert [one.number for one in ranked] == list(range(1, len(packed) + 1))
    assert [one.candidate.row for one in ranked] == sorted(one.candidate.row for one in packed)


def test_the_rough_counter_does_not_count_too_few() -> None:
    assert RoughCounter().count("four words of English") >= 4
    assert RoughCounter().count("榕树很大") >= 4
