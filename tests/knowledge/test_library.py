from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.knowledge.factory import BASE, add, library, page, reader

from banyan.core.context import PUBLIC, Context
from banyan.core.errors import (
    AccessError,
    Conflict,
    InputError,
    UnknownBase,
    UnknownDocument,
    UnknownModel,
)
from banyan.core.events import AnswerDone, SentenceReady
from banyan.core.fakes import HashEmbedder
from banyan.core.ports import ChatModel
from banyan.knowledge.embed import Embedders
from banyan.knowledge.library import Library
from banyan.knowledge.parse.limits import ParseLimits


@pytest.fixture
def shelf(tmp_path: Path) -> Library:
    return library(tmp_path)


def test_bases_are_made_listed_and_removed(shelf: Library) -> None:
    made = shelf.create_base("team-notes", "  Team notes ", Context())
    assert (made.id, made.title, made.documents) == ("team-notes", "Team notes", 0)
    assert shelf.bases(Context()) == [made]
    with pytest.raises(Conflict):
        shelf.create_base("team-notes", "Again", Context())
    shelf.remove_base("team-notes", Context())
    assert shelf.bases(Context()) == []
    with pytest.raises(UnknownBase):
        shelf.remove_base("team-notes", Context())


@pytest.mark.parametrize("base_id", ["", "A", "a b", "../x", "-a", "a" * 64, "名字", "a\n"])
def test_a_name_that_cannot_be_a_bases_is_refused(shelf: Library, base_id: str) -> None:
    with pytest.raises(InputError):
        shelf.create_base(base_id, "Title", Context())


@pytest.mark.parametrize("title", ["", "  ", "two\nlines", "x" * 201, "bell\a"])
def test_a_title_that_is_none_is_refused(shelf: Library, title: str) -> None:
    with pytest.raises(InputError):
        shelf.create_base("fine", title, Context())


def test_only_who_sees_every_label_removes_a_base(shelf: Library) -> None:
    shelf.create_base(BASE, "Base", Context())
    with pytest.raises(AccessError):
        shelf.remove_base(BASE, reader(PUBLIC))


def test_every_question_of_an_unknown_base_says_so(shelf: Library) -> None:
    for call in (
        lambda: shelf.documents("no", Context()),
        lambda: shelf.jobs("no", Context()),
        lambda: shelf.search("x", "no", Context()),
        lambda: list(shelf.ask("x", "no", Context())),
        lambda: shelf.suggest("no", Context()),
    ):
        with pytest.raises(UnknownBase):
            call()


def test_an_answer_quotes_the_document_and_leaves_a_trace(shelf: Library) -> None:
    shelf.create_base(BASE, "Base", Context())
    for number in range(20):
        add(shelf, f"tree{number}", page(f"Tree {number}", f"The oak of row {number} is old."))
    add(shelf, "b", page("Animals", "The quokka is a small marsupial of Western Australia."))
    question = "Is the quokka a marsupial of Western Australia?"
    context = Context()
    events = list(shelf.ask(question, BASE, context))
    sentence = next(event for event in events if isinstance(event, SentenceReady))
    citation = sentence.citations[0]
    _, document = shelf.document(citation.document_id, Context())
    assert document.text[citation.start : citation.end] == citation.quote == sentence.text
    done = events[-1]
    assert isinstance(done, AnswerDone)
    assert shelf.trace(done.trace_id, context)["question"] == question


def test_a_writer_that_is_gone_stops_no_search_and_no_quoted_answer(tmp_path: Path) -> None:
    def gone() -> ChatModel:
        raise UnknownModel("There is no model 'big'.")

    shelf = Library(
        tmp_path,
        embedders=Embedders(multilingual=HashEmbedder()),
        limits=ParseLimits(),
        writer=gone,
    )
    shelf.create_base("b", "B", Context())
    assert shelf.search("sky", "b", Context()) == []
    *_, done = shelf.ask("What is the sky?", "b", Context(), mode="extractive")
    assert isinstance(done, AnswerDone)
    with pytest.raises(UnknownModel):
        list(shelf.ask("What is the sky?", "b", Context()))


def test_a_conversation_goes_on(shelf: Library) -> None:
    shelf.create_base(BASE, "Base", Context())
    add(shelf, "b", page("Animals", "The quokka is a small marsupial. The quokka eats grass."))
    first = list(shelf.ask("What is the quokka?", BASE, Context()))[-1]
    assert isinstance(first, AnswerDone)
    follow_up = shelf.ask(
        "What does it eat?", BASE, Context(), conversation_id=first.conversation_id
    )
    last = list(follow_up)[-1]
    assert isinstance(last, AnswerDone)
    assert "quokka" in last.question


@pytest.mark.parametrize("name", ["", "x", "x-", "-1", "x--1", "x-9999999999999", "x-١"])
def test_a_passage_name_that_is_none_is_unknown(shelf: Library, name: str) -> None:
    with pytest.raises(UnknownDocument):
        shelf.passage(name, Context())


def test_what_one_process_adds_another_finds_at_once_and_no_longer_when_deleted(
    tmp_path: Path,
) -> None:
    one, other = library(tmp_path), library(tmp_path)
    one.create_base(BASE, "Base", Context())
    assert other.search("quokka", BASE, Context()) == []
    ended = add(one, "a", page("Alpha", "The quokka is a marsupial."))
    assert len(other.search("quokka", BASE, Context())) == 1
    one.delete(ended.document_id, Context())
    assert other.search("quokka", BASE, Context()) == []


def test_searches_go_on_while_documents_come_and_go(shelf: Library) -> None:
    shelf.create_base(BASE, "Base", Context())
    add(shelf, "fixed", page("Fixed", "The banyan always stands here."))
    stop = threading.Event()
    failures: list[BaseException] = []

    def search() -> None:
        try:
            while not stop.is_set():
                found = shelf.search("banyan", BASE, Context())
                assert "The banyan always stands here." in found[0].text
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(25):
        ended = add(shelf, "passing", page("Passing", f"The oak of round {number}."))
        if number % 3 == 0:
            shelf.delete(ended.document_id, Context())
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_an_abandoned_answer_gives_its_connection_back(shelf: Library) -> None:
    shelf.create_base(BASE, "Base", Context())
    add(shelf, "a", page("Alpha", "The quokka is a marsupial."))
    for _ in range(20):
        events = shelf.ask("What is a quokka?", BASE, Context())
        next(events)
        events.close()
    shelf.remove_base(BASE, Context())
