"""Refusing: what the documents do not answer is not answered."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.knowledge.small_base import HASHES, ONLY_ONE, Text, base_of

from banyan.core.context import Context
from banyan.core.types import Language
from banyan.knowledge.coverage import Coverage
from banyan.knowledge.embed import Embedders, Multilingual
from banyan.knowledge.fuse import fuse
from banyan.knowledge.prepare import prepare
from banyan.knowledge.refuse import Decision, decide, refusal_weights
from banyan.knowledge.retrieve import embed_question, retrieve
from banyan.knowledge.select import select

TEXTS = [
    Text(title="Ely", body="The bridge of Ely was built by monks in 1291. Ships pass under it."),
    Text(title="Oak", body="The oak grows acorns. They fall in autumn."),
    Text(title="榕树", body="榕树生长在南方。它的气根可以支撑树冠。"),
    Text(title="橡树", body="橡树的果实叫橡子。松鼠喜欢吃橡子。"),
]


REAL = Embedders(multilingual=Multilingual())


def decided(asked: str, texts: Sequence[Text] = TEXTS) -> Decision:
    base = base_of(texts, REAL)
    question = prepare(asked)
    query = embed_question(question, REAL, Context())
    candidates = fuse(base, query, retrieve(base, query, None, Context()), Context())
    coverage = Coverage.of(question, base, None)
    return decide(query, candidates, select(query, candidates, coverage)[0], coverage)


@pytest.mark.parametrize("asked", ["Who built the bridge of Ely?", "榕树生长在哪里？"])
def test_a_question_the_documents_answer_is_not_refused(asked: str) -> None:
    assert not decided(asked).refuse


@pytest.mark.parametrize(
    "asked", ["Who wrote the opera about Carthage?", "去年公司的销售额是多少？"]
)
def test_a_question_about_something_else_is_refused(asked: str) -> None:
    assert decided(asked).refuse


def test_a_base_of_one_document_can_answer_and_refuse() -> None:
    assert not decided("Who built the bridge of Ely?", TEXTS[:1]).refuse
    assert decided("Who wrote the opera about Carthage?", TEXTS[:1]).refuse


def test_the_decision_says_what_it_rests_on() -> None:
    detail = decided("Who built the bridge of Ely?").to_json()
    assert detail["refuse"] is False
    assert {"probability", "coverage", "sentence_overlap", "margin", "sentence_cosine"} < set(
        detail
    )


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("embedders", [HASHES, ONLY_ONE])
def test_more_evidence_never_makes_a_refusal_likelier(
    language: Language, across: bool, embedders: Embedders
) -> None:
    asked = {"en": "Who built it?", "zh": "谁建的？"}[language]
    query = embed_question(prepare(asked), embedders, Context())
    by = refusal_weights(query, across=across)
    assert by.coverage <= 0
    assert by.sentence_overlap <= 0
    assert by.margin <= 0
    assert by.sentence_cosine < 0
    assert by.intercept > 0
