from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from banyan.knowledge.terms import terms


def test_english_words_meet_in_their_stem() -> None:
    assert terms("Running machines") == terms("runs machine")


def test_chinese_becomes_pairs_of_characters() -> None:
    assert terms("北京大学") == ["北京", "京大", "大学"]


def test_a_lone_character_is_a_term() -> None:
    assert terms("税 A") == ["税", "a"]


def test_words_inside_chinese_are_found_by_an_english_question() -> None:
    assert set(terms("Kubernetes clusters")) <= set(terms("在Kubernetes上运行clusters"))


def test_numbers_keep_decimals_and_lose_thousands_separators() -> None:
    assert terms("1,234.50 v2.13.0 3.14 1,2") == ["1234.50", "v2.13.0", "3.14", "1,2"]


def test_full_width_letters_are_the_same_letters() -> None:
    assert terms("ＧＰＵ６４") == terms("gpu64")


def test_names_in_code_are_found_by_their_words() -> None:
    assert terms("max_batch_tokens") == terms("max batch tokens")


@given(st.text())
def test_terms_hold_no_space_and_are_never_empty(text: str) -> None:
    assert all(term and not any(character.isspace() for character in term) for term in terms(text))


@given(st.text(alphabet=st.characters(codec="ascii")))
def test_ascii_takes_a_shorter_way_to_the_same_terms(text: str) -> None:
    assert terms(text + " 中")[:-1] == terms(text)


def test_many_threads_stem_alike() -> None:
    words = [f"walk{'ing' * (number % 3)} argu{'ed' * (number % 2)}" for number in range(200)]
    expected = [terms(word) for word in words]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(terms, words)) == expected
