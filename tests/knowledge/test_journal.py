from __future__ import annotations

from pathlib import Path

import pytest
from tests.knowledge.factory import BASE, create_base, document

from banyan.core.context import Context, Principal
from banyan.core.errors import InputError, LimitExceeded, UnknownDocument
from banyan.knowledge import documents, journal
from banyan.knowledge.history import TURNS_KEPT, TraceRecord, Turn
from banyan.knowledge.journal import StoreHistory
from banyan.knowledge.store import Store

ALICE = Context(principal=Principal(name="alice"), base_id=BASE)
BOB = Context(principal=Principal(name="bob"), base_id=BASE)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path)
    create_base(opened)
    with opened.write(Context()) as db:
        documents.insert(db, [document("one", ["the banyan"]), document("two", ["the oak"])])
    return opened


def _id(name: str) -> str:
    return document(name, ["x"]).record.id


def _trace(number: int, *names: str) -> TraceRecord:
    return TraceRecord(
        id=f"trace{number}",
        base_id=BASE,
        conversation_id="",
        question="What is it?",
        understood="What is it?",
        mode="extractive",
        refused=False,
        seconds=0.1,
        document_ids=tuple(map(_id, names)),
    )


def _read(store: Store, number: int, context: Context = ALICE) -> dict[str, object]:
    with store.read() as db:
        return journal.trace(db, f"trace{number}", context.principal)


def test_turns_come_back_in_order_and_only_to_whom_they_belong(store: Store) -> None:
    history = StoreHistory(store)
    turns = [
        Turn(question=f"q{n}", topic="t", answer="a", document_ids=(_id("one"),))
        for n in range(TURNS_KEPT + 2)
    ]
    for turn in turns:
        history.add_turn("talk", turn, ALICE)
    assert history.turns("talk", ALICE) == turns[-TURNS_KEPT:]
    assert history.turns("talk", BOB) == history.turns("else", ALICE) == []


def test_a_turn_without_a_base_is_refused(store: Store) -> None:
    with pytest.raises(InputError):
        StoreHistory(store).add_turn("talk", Turn(question="q", topic="t"), Context())


def test_a_turn_goes_with_a_document_it_quotes(store: Store) -> None:
    history = StoreHistory(store)
    history.add_turn("talk", Turn(question="a", topic="t", document_ids=(_id("one"),)), ALICE)
    history.add_turn("talk", Turn(question="b", topic="t", document_ids=(_id("two"),)), ALICE)
    with store.write(Context()) as db:
        documents.delete(db, [_id("one")])
    assert [turn.question for turn in history.turns("talk", ALICE)] == ["b"]


def test_a_trace_is_not_kept_when_what_it_quotes_has_gone_meanwhile(store: Store) -> None:
    with store.write(Context()) as db:
        documents.delete(db, [_id("one")])
    StoreHistory(store).add_trace(_trace(1, "one", "two"), ALICE)
    with pytest.raises(UnknownDocument):
        _read(store, 1)


def test_only_the_last_traces_and_turns_are_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "TRACES_KEPT", 3)
    monkeypatch.setattr(journal, "TURNS_KEPT", 3)
    history = StoreHistory(store)
    for number in range(6):
        history.add_trace(_trace(number, "one"), ALICE)
        turn = Turn(question=str(number), topic="", document_ids=(_id("one"),))
        history.add_turn("talk", turn, ALICE)
    assert _read(store, 5)["question"] == "What is it?"
    with pytest.raises(UnknownDocument):
        _read(store, 2)
    assert [turn.question for turn in history.turns("talk", ALICE)] == ["3", "4", "5"]
    with store.read() as db:
        assert db.execute("SELECT COUNT(*) FROM quotes").fetchone() == (6,)


def test_an_entry_over_its_limit_names_the_limit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "MAX_ENTRY_BYTES", 10)
    with pytest.raises(LimitExceeded, match="MAX_ENTRY_BYTES = 10"):
        StoreHistory(store).add_trace(_trace(1), ALICE)
