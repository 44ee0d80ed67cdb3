"""Every example runs as its first lines say."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.server.harness import running

from banyan.app import App
from banyan.core.context import Context
from banyan.core.settings import Settings

EXAMPLES = Path(__file__).parents[1] / "examples"


def _run(name: str, *arguments: str, home: Path) -> str:
    environment = {**os.environ, "BANYAN_HOME": str(home), "BANYAN_THREADS": "1"}
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_asking_documents_quotes_the_sentence_and_its_source(tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "lease.md").write_text("# Lease\n\nThe lease ends in March 2031. Rent is monthly.")
    printed = _run("01_ask_your_documents.py", str(folder), "When does the lease end?", home=folder)
    assert "The lease ends in March 2031. [Lease, p. -]" in printed


@pytest.mark.models
def test_running_a_model_finds_paris_likelier_than_berlin(models_home: Path) -> None:
    printed = _run("02_run_a_model.py", home=models_home).splitlines()
    paris, berlin = (float(line.rpartition("=")[2]) for line in printed[-2:])
    assert paris > berlin


def test_the_openai_client_lists_models_and_asks_a_base(tmp_path: Path) -> None:
    app: Any = App(replace(Settings(), home=tmp_path))
    app.library.ensure_sample(Context())
    with running(app) as server:
        printed = _run("03_openai_client.py", f"{server.url}/v1", home=tmp_path)
    app.close()
    assert "base:sample" in printed
    assert "PDF" in printed
