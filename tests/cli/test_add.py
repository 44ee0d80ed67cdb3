"""Adding files reports each, stops for none, and says when nothing could be added."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Runner
from tests.cli.fake_app import FakeApp


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    good, bad = tmp_path / "a.md", tmp_path / "b.bad"
    good.touch()
    bad.touch()
    return good, bad


def test_each_file_is_reported_and_a_bad_one_stops_nothing(
    run: Runner, app: FakeApp, files: tuple[Path, Path]
) -> None:
    good, bad = files
    shown = run("add", str(bad), str(good))
    assert shown.code == 0
    first, second, last = shown.out.splitlines()
    assert first == f"failed     {bad}: It is empty."
    assert second.startswith(f"ready      {good} (4 passages")
    assert last == "main: 1 added, 0 unchanged, 1 failed"
    assert shown.err == ""


def test_as_json_each_file_is_a_line(run: Runner, app: FakeApp, files: tuple[Path, Path]) -> None:
    lines = run("add", *map(str, files), "--json").lines
    assert [line["status"] for line in lines] == ["ready", "failed"]


def test_when_no_file_could_be_added_the_exit_code_says_so(
    run: Runner, app: FakeApp, files: tuple[Path, Path]
) -> None:
    assert run("add", str(files[1])).code == 5


def test_a_missing_path_is_an_error_before_anything_is_added(
    run: Runner, app: FakeApp, files: tuple[Path, Path]
) -> None:
    ended = run("add", str(files[0]), "/nowhere/x.pdf")
    assert ended.code == 3
    assert app.library.added == []


@pytest.mark.parametrize(
    ("known", "option", "made"),
    [
        ([], [], "default"),
        (["sample"], [], "default"),
        (["mine", "sample"], [], "mine"),
        (["one", "two"], [], "default"),
        (["default", "other"], [], "default"),
        (["mine"], ["--base", "new"], "new"),
    ],
)
def test_the_base_is_the_only_one_or_default_and_is_made_when_missing(
    run: Runner,
    app: FakeApp,
    files: tuple[Path, Path],
    known: list[str],
    option: list[str],
    made: str,
) -> None:
    app.library.base_ids = known
    assert f"{made}: 1 added" in run("add", str(files[0]), *option).out
    assert made in app.library.base_ids
