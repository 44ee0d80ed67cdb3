"""Managing bases; what removes something asks first."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Runner
from tests.cli.fake_app import FakeApp


def test_bases_and_documents_are_listed(run: Runner, app: FakeApp) -> None:
    assert "main  Main   1          4         0" in run("knowledge", "bases").out
    assert run("knowledge", "bases", "--json").json["bases"][0]["id"] == "main"
    shown = run("knowledge", "documents").out
    assert "d1  ready" in shown
    assert "It is empty." in shown
    assert len(run("knowledge", "documents", "--json").json["documents"]) == 2


def test_a_base_is_created_and_removed(run: Runner, app: FakeApp) -> None:
    assert run("knowledge", "create", "new", "--title", "New").out == "Created new.\n"
    assert run("knowledge", "remove", "new", "--yes").out == "Removed new.\n"
    assert app.library.base_ids == ["main"]


def test_nothing_is_removed_where_nobody_can_say_yes(run: Runner, app: FakeApp) -> None:
    for arguments in (("remove", "main"), ("delete", "d1")):
        ended = run("knowledge", *arguments)
        assert ended.code == 2
        assert "--yes" in ended.err
    assert app.library.base_ids == ["main"]
    assert app.library.removed == []
    assert run("knowledge", "delete", "d1", "-y").out == "Deleted Trees.\n"
    assert app.library.removed == ["d1"]


def test_a_base_is_measured_on_the_users_own_questions(
    run: Runner, app: FakeApp, tmp_path: Path
) -> None:
    rows = [
        {"question": "How many trunks?", "answer": "MANY  trunks"},
        {"question": "How tall?", "answer": "thirty metres"},
        {"question": "Who owns Mars?", "answerable": False},
    ]
    questions = tmp_path / "q.jsonl"
    questions.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    body = run("knowledge", "eval", str(questions), "--json").json
    assert (body["questions"], body["answered"]) == (3, 2)
    assert (body["answer_hit"], body["refusal_recall"]) == (0.5, 1.0)
    shown = run("knowledge", "eval", str(questions)).out
    assert "answer right          50 %" in shown
    assert "✗ How tall? · the answer does not hold the expected words" in shown


def test_a_model_is_measured_on_the_same_questions(
    run: Runner, app: FakeApp, tmp_path: Path
) -> None:
    questions = tmp_path / "q.jsonl"
    questions.write_text('{"question": "How many trunks?", "answer": "many"}')
    body = run("knowledge", "eval", str(questions), "--model", "tiny", "--json").json
    assert (body["questions"], app.answer_model) == (1, "tiny")
    assert app.library.asked[0][3] == "model"
    assert run("knowledge", "eval", str(questions), "--model", "nobody").code == 3


def test_a_line_that_is_no_question_is_named(run: Runner, app: FakeApp, tmp_path: Path) -> None:
    questions = tmp_path / "q.jsonl"
    for line in ("nonsense", "[]", '{"question": 1}', '{"question": "x", "answerable": 1}'):
        questions.write_text('{"question": "Q?", "answer": "a"}\n' + line)
        ended = run("knowledge", "eval", str(questions))
        assert ended.code == 2
        assert "line 2" in ended.err


def test_an_export_overwrites_nothing_and_an_import_needs_a_file(
    run: Runner, app: FakeApp, tmp_path: Path
) -> None:
    there = tmp_path / "there.zip"
    there.touch()
    assert run("knowledge", "export", "main", str(there)).code == 2
    assert run("knowledge", "import", str(tmp_path / "absent.zip")).code == 2
