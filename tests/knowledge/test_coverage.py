"""How much of a question a text covers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.knowledge.small_base import Text, base_of

from banyan.knowledge.coverage import Coverage, text_terms
from banyan.knowledge.prepare import prepare

BASE = base_of(
    [
        Text(title="Trees", body="The banyan grows aerial roots."),
        Text(title="Trees", body="The oak grows acorns."),
        Text(title="Secret", body="The zebra grows stripes.", label="secret"),
        Text(title="树", body="榕树有气生根。"),
    ]
)


def test_a_rare_word_weighs_more_than_a_common_one() -> None:
    coverage = Coverage.of(prepare("Which banyan grows?"), BASE, None)
    assert coverage.share(text_terms("banyan")) > coverage.share(text_terms("grows")) > 0
    assert coverage.share(text_terms("a banyan that grows")) == pytest.approx(1.0)


def test_a_discounted_term_counts_at_its_rate() -> None:
    coverage = Coverage.of(prepare("banyan roots"), BASE, None)
    full, title = text_terms("banyan roots"), text_terms("banyan")
    assert coverage.share(full, discount=title, rate=0.0) < coverage.share(full)
    assert coverage.share(full, discount=title, rate=1.0) == coverage.share(full)


def test_single_chinese_characters_count_in_part() -> None:
    coverage = Coverage.of(prepare("榕树的根是什么？"), BASE, None)
    assert 0 < coverage.share(text_terms("树根")) < coverage.share(text_terms("榕树 根"))


def test_hidden_chunks_do_not_move_the_weights() -> None:
    public = frozenset({"public"})
    without = base_of(
        [
            Text(title="Trees", body="The banyan grows aerial roots."),
            Text(title="Trees", body="The oak grows acorns."),
            Text(title="树", body="榕树有气生根。"),
        ]
    )
    question = prepare("Which zebra grows?")
    hidden = Coverage.of(question, BASE, public)
    assert hidden.weights == Coverage.of(question, without, None).weights
    assert hidden.weights != Coverage.of(question, BASE, None).weights


@given(st.lists(st.sampled_from(["banyan", "roots", "oak", "根", "x"]), min_size=1))
def test_a_share_lies_between_nothing_and_all_and_grows(words: list[str]) -> None:
    coverage = Coverage.of(prepare("banyan roots 榕树"), BASE, None)
    few, many = text_terms(words[0]), text_terms(" ".join(words))
    assert 0 <= coverage.share(few) <= coverage.share(many) <= 1 + 1e-9
