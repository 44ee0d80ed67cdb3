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


@pytest.mark.parametrize("columns", [40, 80])
def test_on_a_narrow_terminal_each_row_is_a_paragraph_and_its_name_whole(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    name, words = "a-model-with-a-name", "what this model is for, in a good many words of English"
    headers = ["NAME", "KIND", "SIZE", "NOTE", "LICENCE", "FOR"]
    output.table(headers, [(name, "chat", "98.4 MB", "", "Apache-2.0, as MIT", words)] * 2)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert [line.strip() for line in lines].count(name) == (2 if columns == 40 else 0)
    assert sum(line.startswith(name) for line in lines) == 2
    assert "note" not in " ".join(lines)


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
