"""Which knowledge base a command means."""

from __future__ import annotations

import pytest
from tests.cli.conftest import Runner
from tests.cli.fake_app import FakeApp


@pytest.mark.parametrize(
    ("bases", "meant"),
    [
        (["main"], "main"),
        (["sample"], "sample"),
        (["sample", "mine"], "mine"),
        (["other", "default"], "default"),
        ([], "sample"),
    ],
)
def test_the_only_sensible_base_is_taken(
    run: Runner, app: FakeApp, bases: list[str], meant: str
) -> None:
    app.library.base_ids = bases
    assert run("ask", "Q?").code == 0
    assert app.library.asked[0][1] == meant


def test_among_several_bases_one_must_be_named(run: Runner, app: FakeApp) -> None:
    app.library.base_ids = ["one", "two", "sample"]
    ended = run("ask", "Q?")
    assert ended.code == 2
    assert "--base one or two" in ended.err
    assert run("ask", "Q?", "--base", "two").code == 0


def test_an_unknown_base_comes_with_those_there_are(run: Runner, app: FakeApp) -> None:
    ended = run("search", "x", "--base", "absent")
    assert ended.code == 3
    assert "There are: main" in ended.err


def test_the_sample_is_made_when_it_is_asked(run: Runner, app: FakeApp) -> None:
    assert run("ask", "Q?", "--base", "sample").code == 0
    assert app.library.asked[0][1] == "sample"


@pytest.mark.parametrize("named", [(), ("--base", "sample")])
def test_a_sample_that_was_left_half_made_is_finished_before_it_is_asked(
    run: Runner, app: FakeApp, named: tuple[str, ...]
) -> None:
    app.library.base_ids = ["sample"]
    app.library.reading["sample"] = 12
    assert run("ask", "Q?", *named).code == 0
    assert app.library.reading["sample"] == 0
