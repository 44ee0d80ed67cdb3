"""Running the command line inside the test, on a double of the product."""

from __future__ import annotations

import io
import json
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cli.fake_app import FakeApp, app_factory

from banyan.cli.main import main


@dataclass(frozen=True, kw_only=True)
class Run:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Runner = Callable[..., Run]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of every command of the test."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("BANYAN_HOME", str(home))
    return home


@pytest.fixture
def app(home: Path, monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    fake = FakeApp("main")
    module = types.ModuleType("banyan.app")
    module.__dict__["App"] = app_factory(fake)
    monkeypatch.setitem(sys.modules, "banyan.app", module)
    return fake


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Run ``banyan`` with arguments and return how it ended and what it printed."""

    def runner(*arguments: str, stdin: str = "") -> Run:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        code = ended.value.code
        return Run(code=code if isinstance(code, int) else 0, out=printed.out, err=printed.err)

    return runner
