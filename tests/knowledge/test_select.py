"""Selecting the sentences of an answer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.knowledge.small_base import HASHES, Text, base_of

from banyan.core.context import Context
from banyan.knowledge.coverage import Coverage
from banyan.knowledge.fuse import fuse
from banyan.knowledge.prepare import prepare
from banyan.knowledge.retrieve import embed_question, retrieve
from banyan.knowledge.select import MAX_SENTENCES, Quote, select, statements

FILLER = [
    Text(title="Oak", body="The oak grows acorns. They fall in autumn."),
    Text(title="Elm", body="The elm has rough leaves. They turn yellow."),
]


def chosen(texts: Sequence[Text], asked: str) -> list[Quote]:
    base = base_of([*texts, *FILLER])
    question = prepare(asked)
    query = embed_question(question, HASHES, Context())
    candidates = fuse(base, query, retrieve(base, query, None, Context()), Context())
    return select(query, candidates, Coverage.of(question, base, None))


def test_the_sentence_that_holds_the_question_is_quoted_to_the_character() -> None:
    body = "Rivers are long. The bridge of Ely was built by monks in 1291. Monks sing."
    quote = chosen([Text(title="Ely", body=body)], "Who built the bridge?")[0]
    citation = quote.citation(1)
    assert citation.quote == "The bridge of Ely was built by monks in 1291."
    assert body[citation.start : citation.end] == citation.quote


def test_words_of_the_title_count_little() -> None:
    body = "Ely is a city, and Ely has a market. Its bridge was built by monks."
    quote = chosen([Text(title="Ely", body=body)], "Who built the bridge of Ely?")[0]
    assert quote.hit.text == "Its bridge was built by monks."


def test_a_second_sentence_comes_only_for_what_the_first_leaves_open() -> None:
    body = "The bridge was built by monks. The tower was painted by nuns. Birds sing."
    both = chosen([Text(title="Ely", body=body)], "Who built the bridge and painted the tower?")
    assert {quote.hit.text for quote in both} == {
        "The bridge was built by monks.",
        "The tower was painted by nuns.",
    }
    one = chosen([Text(title="Ely", body=body)], "Who built the bridge?")
    assert [quote.hit.text for quote in one] == ["The bridge was built by monks."]


def test_no_more_than_three_sentences_are_quoted() -> None:
    words = ["amber", "basalt", "cobalt", "diorite", "emerald"]
    body = " ".join(f"The {word} is found here." for word in words)
    quotes = chosen([Text(title="Stones", body=body)], "Where are " + " ".join(words) + " found?")
    assert len(quotes) == MAX_SENTENCES


def test_a_heading_is_never_the_answer() -> None:
    body = "Building the bridge\n\nMonks did it with stones from the river bed."
    quote = chosen([Text(title="Ely", body=body)], "Who was building the bridge?")[0]
    assert quote.hit.text == "Monks did it with stones from the river bed."


@pytest.mark.parametrize("question", ["When was the bridge built?", "How many arches were built?"])
def test_a_question_for_a_number_prefers_a_sentence_with_one(question: str) -> None:
    body = "The bridge with arches was built by monks. The bridge with 7 arches was built in 1291."
    assert "1291" in chosen([Text(title="Ely", body=body)], question)[0].hit.text


def test_clauses_parted_by_a_chinese_semicolon_are_one_statement() -> None:
    body = "榕树高二十米；树冠很大。它生长在南方。"
    base = base_of([Text(title="树", body=body)])
    query = embed_question(prepare("榕树多高？"), HASHES, Context())
    candidate = fuse(base, query, retrieve(base, query, None, Context()), Context())[0]
    joined = statements(candidate)
    assert [hit.text for hit in joined] == ["榕树高二十米；树冠很大。", "它生长在南方。"]
    assert body[joined[0].start : joined[0].end] == joined[0].text
