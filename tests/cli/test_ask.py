"""Questions from arguments and pipes, answers for people and for programs."""

from __future__ import annotations

import pytest
from tests.cli.conftest import Runner
from tests.cli.fake_app import FakeApp


def test_an_answer_is_marked_and_its_sources_have_page_and_file(run: Runner, app: FakeApp) -> None:
    shown = run("ask", "How many trunks?")
    assert shown.code == 0
    assert shown.out == ("A banyan has many trunks. [1]\n\nSources\n[1] Trees, page 3 (trees.md)\n")
    assert app.library.asked == [("How many trunks?", "main", None, "auto")]
    assert app.closed == 1


def test_an_answer_as_json_is_one_document(run: Runner, app: FakeApp) -> None:
    body = run("ask", "How many trunks?", "--json").json
    assert body["answer"] == "A banyan has many trunks. [1]"
    assert body["refused"] is False
    assert body["sources"] == [
        {
            "number": 1, "title": "Trees", "page": 3, "path": "trees.md", "document_id": "d1",
            "passage_id": "p1",
        }
    ]  # fmt: skip
    assert body["done"]["trace_id"] == "t1"


def test_a_refusal_is_an_answer_of_its_own(run: Runner, app: FakeApp) -> None:
    shown = run("ask", "Who owns Mars?")
    assert shown.code == 0
    assert shown.out.startswith("No passage says it.\nNearest: Trees\n")
    body = run("ask", "Who owns Mars?", "--json").json
    assert (body["refused"], body["answer"]) == (True, "")
    assert body["nearest"][0]["title"] == "Trees"


def test_a_question_comes_from_standard_input_for_a_dash(run: Runner, app: FakeApp) -> None:
    run("ask", "-", stdin="从管道来的问题\n")
    assert app.library.asked[0][0] == "从管道来的问题"


@pytest.mark.parametrize("stdin", ["", " \n"])
def test_an_empty_question_is_refused(run: Runner, app: FakeApp, stdin: str) -> None:
    assert run("ask", "-", stdin=stdin).code == 2
    assert run("ask", " ").code == 2


def test_a_question_over_the_limit_quotes_it(run: Runner, app: FakeApp) -> None:
    ended = run("ask", "x" * 5000)
    assert ended.code == 2
    assert "max_question_chars = 4000" in ended.err
    assert run("ask", "-", stdin="x" * 5000).code == 2


def test_a_conversation_goes_on_where_it_was(run: Runner, app: FakeApp) -> None:
    assert run("ask", "--continue", "And?").code == 3
    app.library.base_ids.append("other")
    run("ask", "First?", "--base", "other")
    run("ask", "-c", "And then?")
    assert app.library.asked[-1] == ("And then?", "other", "c1", "auto")
    ended = run("ask", "-c", "And here?", "--base", "main")
    assert ended.code == 2
    assert "was with other" in ended.err


def test_the_mode_is_passed_on_and_an_unknown_one_refused(run: Runner, app: FakeApp) -> None:
    run("ask", "Q?", "--mode", "extractive")
    assert app.library.asked[0][3] == "extractive"
    assert run("ask", "Q?", "--mode", "magic").code == 2


def test_search_shows_place_page_and_text_without_control_characters(
    run: Runner, app: FakeApp
) -> None:
    shown = run("search", "trunks")
    assert (
        shown.out == "[1] Trees > Banyan, page 3  (0.900)\n    A banyan�[31m grows many trunks.\n"
    )
    assert run("search", "trunks", "-k", "1", "--json").json["passages"][0]["id"] == "p1"
