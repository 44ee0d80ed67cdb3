"""Preparing a question: language, terms, and the topic a follow-up borrows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banyan.core.errors import InputError
from banyan.knowledge.history import Turn
from banyan.knowledge.prepare import MAX_TOPIC_TERMS, Question, prepare
from banyan.knowledge.terms import terms


def after(first: str, then: str) -> Question:
    before = prepare(first)
    return prepare(then, [Turn(question=before.asked, topic=before.topic)])


@pytest.mark.parametrize(
    "follow_up",
    [
        "how much does it cost?",
        "and in Chinese?",
        "What languages does it support?",
        "How do I install it?",
        "why?",
        "the price?",
        "what about Windows?",
        "How does it compare with vLLM?",
        "Is that true?",
    ],
)
def test_an_english_question_without_a_topic_borrows_the_one_before(follow_up: str) -> None:
    understood = after("What is the Banyan engine?", follow_up)
    assert understood.text == f"{follow_up} (Banyan engine)"
    assert {"banyan", "engin"} <= set(understood.terms)


@pytest.mark.parametrize(
    "follow_up", ["那价格呢？", "它多少钱？", "为什么？", "中文呢？", "该公司的总部在哪里？"]
)
def test_a_chinese_question_without_a_topic_borrows_the_one_before(follow_up: str) -> None:
    understood = after("榕树引擎是什么？", follow_up)
    assert understood.text == f"{follow_up} (榕树引擎)"
    assert {"榕树", "引擎"} <= set(understood.terms)


@pytest.mark.parametrize(
    "question",
    [
        "Who founded Rome?",
        "Does Banyan keep its files on disk?",
        "Does the engine keep its files on a disk?",
        "Which licence does the sample base have, and why?",
        "北京的人口是多少？",
        "谁发明了电话？",
    ],
)
def test_a_question_with_its_own_topic_is_left_alone(question: str) -> None:
    assert after("What is the Banyan engine?", question).text == question


def test_the_first_question_borrows_nothing() -> None:
    assert prepare("how much does it cost?").borrowed == ""


def test_a_chain_of_follow_ups_keeps_the_topic() -> None:
    first = prepare("Which models does Banyan run?")
    turns = [Turn(question=first.asked, topic=first.topic)]
    second = prepare("How fast is it?", turns)
    turns.append(Turn(question=second.asked, topic=second.topic))
    third = prepare("and on a laptop?", turns)
    assert {"banyan", "fast", "laptop"} <= set(third.terms)


def test_the_language_is_that_of_the_words_typed() -> None:
    assert prepare("榕树支持 GGUF 吗？").language == "zh"
    assert after("榕树引擎是什么？", "how much does it cost?").language == "en"


@pytest.mark.parametrize("blank", ["", "   ", "?!", "。。。"])
def test_an_empty_question_is_refused(blank: str) -> None:
    with pytest.raises(InputError, match="empty"):
        prepare(blank)


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_two_turns_can_be_understood(first: str, then: str) -> None:
    if not terms(" ".join(first.split())) or not terms(" ".join(then.split())):
        return
    understood = after(first, then)
    assert understood.terms
    assert understood.text.startswith(understood.asked)
    assert len(understood.borrowed.split()) <= MAX_TOPIC_TERMS
