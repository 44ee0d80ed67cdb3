"""Nothing of what was deleted, replaced or is hidden can be found, counted, quoted or read."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.knowledge.factory import BASE, EMBEDDER, add, bytes_under, library, page, reader, unit

from banyan.core.context import PUBLIC, Context
from banyan.core.errors import UnknownDocument
from banyan.core.events import AnswerDone, PassagesFound
from banyan.knowledge.library import Library

LABELS = (PUBLIC, "hr", "law")


@pytest.fixture
def shelf(tmp_path: Path) -> Library:
    made = library(tmp_path)
    made.create_base(BASE, "Base", Context())
    return made


def _found(shelf: Library, word: str, context: Context) -> set[str]:
    return {one.document_id for one in shelf.search(word, BASE, context) if word in one.text}


def test_a_deleted_document_is_gone_from_searches_lists_and_links(shelf: Library) -> None:
    ended = add(shelf, "a", page("Alpha", "The quokka is a marsupial."))
    add(shelf, "b", page("Beta", "The banyan is a tree."))
    passage = shelf.search("quokka", BASE, Context())[0]
    shelf.delete(ended.document_id, Context())
    assert _found(shelf, "quokka", Context()) == set()
    assert [record.path for record in shelf.documents(BASE, Context())] == ["b"]
    with pytest.raises(UnknownDocument):
        shelf.passage(passage.id, Context())
    with pytest.raises(UnknownDocument):
        shelf.document(ended.document_id, Context())
    with pytest.raises(UnknownDocument):
        shelf.delete(ended.document_id, Context())


def test_traces_and_turns_that_quote_a_deleted_document_go_with_it(shelf: Library) -> None:
    ended = add(shelf, "a", page("Alpha", "The quokka is a marsupial of Australia."))
    context = Context()
    events = list(shelf.ask("What is a quokka?", BASE, context))
    assert isinstance(events[-1], AnswerDone)
    assert shelf.trace(context.trace.id, context)["question"] == "What is a quokka?"
    shelf.delete(ended.document_id, Context())
    with pytest.raises(UnknownDocument):
        shelf.trace(context.trace.id, context)


def test_no_byte_of_a_deleted_document_stays_on_disk(tmp_path: Path) -> None:
    shelf = library(tmp_path)
    shelf.create_base(BASE, "Base", Context())
    gone = add(shelf, "secretpath", page("Secrettitle", "The quokkasecret is a marsupial."))
    kept = add(shelf, "kept", page("Kept", "The banyan is a tree."))
    list(shelf.ask("What is the quokkasecret?", BASE, Context()))
    assert b"quokkasecret" in bytes_under(tmp_path)
    shelf.delete(gone.document_id, Context())
    shelf.close()
    left = bytes_under(tmp_path)
    for word in (b"quokkasecret", b"secretpath", b"ecrettitle", gone.document_id.encode()):
        assert word not in left
    assert kept.document_id.encode() in left


def test_no_byte_of_a_removed_base_stays_on_disk(tmp_path: Path) -> None:
    shelf = library(tmp_path)
    shelf.create_base("secretbase", "Secret title", Context())
    add(shelf, "path", page("Page", "The quokkasecret is a marsupial."), base="secretbase")
    list(shelf.ask("What is the quokkasecret?", "secretbase", Context()))
    shelf.remove_base("secretbase", Context())
    shelf.close()
    left = bytes_under(tmp_path)
    assert b"quokkasecret" not in left
    assert b"secretbase" not in left


def test_a_replaced_version_is_gone(shelf: Library) -> None:
    add(shelf, "a", page("Alpha", "The quokka is a marsupial."))
    add(shelf, "a", page("Alpha", "The wombat is a marsupial."))
    assert _found(shelf, "quokka", Context()) == set()
    assert len(_found(shelf, "wombat", Context())) == 1
    assert len(shelf.documents(BASE, Context())) == 1


def test_hidden_documents_are_not_listed_counted_opened_or_found(shelf: Library) -> None:
    hidden = add(shelf, "h", page("Hidden", "The quokka is secret."), label="hr")
    add(shelf, "p", page("Open", "The banyan is public."))
    passage = shelf.search("quokka", BASE, Context())[0]
    me = reader(PUBLIC)
    assert _found(shelf, "quokka", me) == set()
    assert [record.path for record in shelf.documents(BASE, me)] == ["p"]
    assert [(one.documents, one.chunks) for one in shelf.bases(me)] == [(1, 1)]
    for call in (
        lambda: shelf.passage(passage.id, me),
        lambda: shelf.document(hidden.document_id, me),
        lambda: shelf.delete(hidden.document_id, me),
    ):
        with pytest.raises(UnknownDocument):
            call()


def test_a_trace_is_only_for_who_asked(shelf: Library) -> None:
    add(shelf, "p", page("Open", "The banyan is public."))
    context = Context()
    list(shelf.ask("What is the banyan?", BASE, context))
    with pytest.raises(UnknownDocument):
        shelf.trace(context.trace.id, reader(PUBLIC))


def test_who_loses_a_label_loses_the_traces_that_quote_it(shelf: Library) -> None:
    add(shelf, "h", page("Hidden", "The quokka is secret."), label="hr")
    asked = reader(PUBLIC, "hr")
    list(shelf.ask("What is the quokka?", BASE, asked))
    assert shelf.trace(asked.trace.id, reader("hr"))
    with pytest.raises(UnknownDocument):
        shelf.trace(asked.trace.id, reader(PUBLIC))


def test_hidden_documents_change_no_visible_score(tmp_path: Path) -> None:
    plain, mixed = library(tmp_path / "plain"), library(tmp_path / "mixed")
    for one in (plain, mixed):
        one.create_base(BASE, "Base", Context())
        for number in range(4):
            add(one, f"p{number}", page(f"Page {number}", f"banyan tree number {number}"))
    for number in range(9):
        add(mixed, f"h{number}", page("Hidden", "banyan banyan tree"), label="hr")
    me = reader(PUBLIC)
    expected, got = (one.search("banyan tree", BASE, me) for one in (plain, mixed))
    assert [(one.document_id, one.scores) for one in got] == [
        (one.document_id, one.scores) for one in expected
    ]


@dataclass
class _World:
    """What should be there: (path, label) -> (document id, its own word)."""

    shelf: Library
    random: random.Random
    documents: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    words: int = 0

    def step(self) -> None:
        act = self.random.choices(
            [self.add, self.delete, self.restart_base, self.look, self.ask], [6, 4, 0.05, 4, 1]
        )
        act[0]()

    def add(self) -> None:
        path, label = f"p{self.random.randrange(12)}", self.random.choice(LABELS)
        self.words += 1
        word = f"word{self.words}x"
        texts = [f"{word} tree number {n}" for n in range(self.random.randrange(1, 4))]
        context = reader(label)
        events = self.shelf.add_documents(
            [(path, page("Tree", *texts))], BASE, context, label=label
        )
        ended = [event for event in events if hasattr(event, "document_id")]
        self.documents[path, label] = (ended[0].document_id, word)

    def delete(self) -> None:
        if self.documents:
            key = self.random.choice(sorted(self.documents))
            self.shelf.delete(self.documents.pop(key)[0], Context())

    def restart_base(self) -> None:
        self.shelf.remove_base(BASE, Context())
        self.shelf.create_base(BASE, "Base", Context())
        self.documents.clear()

    def ask(self) -> None:
        labels = self.random.sample(LABELS, self.random.randrange(1, 3))
        visible = {one for (_, label), (one, _) in self.documents.items() if label in labels}
        for event in self.shelf.ask("Which tree is number 1?", BASE, reader(*labels)):
            if isinstance(event, PassagesFound):
                assert {passage.document_id for passage in event.passages} <= visible

    def look(self) -> None:
        """Search for words that exist, existed and never did, as someone who sees some labels."""
        labels = self.random.sample(LABELS, self.random.randrange(1, 4))
        allowed = frozenset(labels)
        expected = {word: key for key, (_, word) in self.documents.items()}
        with self.shelf.snapshot(BASE) as view:
            word = f"word{self.random.randrange(self.words + 2)}x"
            rows, _ = view.bm25([word], allowed)
            found = {passage.label for passage in view.passages(rows)}
            key = expected.get(word)
            assert found == ({key[1]} if key is not None and key[1] in labels else set())
            rows, _ = view.cosine(EMBEDDER, unit(1), allowed)
            seen = {passage.document_id for passage in view.passages(rows)}
            assert seen == {
                one for (_, label), (one, _) in self.documents.items() if label in labels
            }
            size = sum(len(chunk) for chunk in view.sentences(EMBEDDER, unit(1), rows))
            assert size >= len(rows)


def _random_operations(folder: Path, steps: int, seed: int) -> None:
    shelf = library(folder)
    shelf.create_base(BASE, "Base", Context())
    world = _World(shelf, random.Random(seed))
    for _ in range(steps):
        world.step()
    gone = world.words and {f"word{n}x".encode() for n in range(1, world.words + 1)}
    shelf.close()
    left = bytes_under(folder)
    alive = {word.encode() for _, word in world.documents.values()}
    assert not [word for word in gone - alive if word in left]


def test_random_operations_leave_nothing_behind(tmp_path: Path) -> None:
    _random_operations(tmp_path, 150, seed=1)


@pytest.mark.long
def test_ten_thousand_random_operations_leave_nothing_behind(tmp_path: Path) -> None:
    _random_operations(tmp_path, 10_000, seed=2)
