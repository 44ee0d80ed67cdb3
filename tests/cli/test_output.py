"""Text for terminals is harmless, tables in pipes are whole, numbers are readable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from banyan.cli import output


def test_no_document_or_model_can_command_the_terminal() -> None:
    hostile = "a\x1b]0;title\x07b\x1b[2J\x9b31mc\r\x08\x00\n\t中文🙂"
    assert output.safe(hostile) == "a�]0;title�b�[2J�31mc���\n\t中文🙂"


def test_a_long_cell_is_not_folded_or_cut_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["A", "B"], [("x" * 500, "[bold]not markup[/bold]\nsecond")])
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["A", "B"]
    assert row.split("  ") == ["x" * 500, "[bold]not markup[/bold] second"]


def test_records_and_paths_become_json(capsys: pytest.CaptureFixture[str]) -> None:
    @dataclass(frozen=True)
    class Record:
        path: Path
        names: tuple[str, ...]

    output.emit_line({"a": Record(path=Path("/x"), names=("é",))})
    assert capsys.readouterr().out == '{"a": {"path": "/x", "names": ["é"]}}\n'
    with pytest.raises(TypeError, match="object is not JSON"):
        output.emit(object())


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, ""), (0, "0 B"), (999, "999 B"), (98_362_432, "98.4 MB"), (5 * 10**15, "5000.0 TB")],
)
def test_sizes_are_for_people(count: int | None, text: str) -> None:
    assert output.size(count) == text
