"""Importing is cheap: the package pulls in nothing until a capability is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "starlette", "uvicorn", "pydantic", "httpx", "rich", "typer")


def _imported_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(found.stdout.split())


def test_import_banyan_imports_nothing_heavy() -> None:
    assert _imported_by("import banyan").isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "module", ["types", "context", "ports", "errors", "settings", "events", "fakes"]
)
def test_the_core_needs_the_standard_library_only(module: str) -> None:
    assert _imported_by(f"import banyan.core.{module}").isdisjoint(HEAVY)


@pytest.mark.parametrize("module", ["app", "server.main", "cli.main", "knowledge.library"])
def test_a_machine_without_the_engine_extra_can_import(module: str) -> None:
    block = "sys.modules.update(torch=None, tokenizers=None, jinja2=None)"
    _imported_by(f"{block}; import banyan.{module}")
