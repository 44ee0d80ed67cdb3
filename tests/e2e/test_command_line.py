"""The command line on the real product: real processes, a real store, real embedding."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

TEXT = """# The lighthouse of Skerry

## Height

The lighthouse of Skerry is forty-two metres high.

## Keeper

Its last keeper, Ada Brook, left the island in 1987.
"""


def environment(home: Path, precision: str = "auto") -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BANYAN_")}
    ours = {"BANYAN_HOME": str(home), "BANYAN_THREADS": "1", "BANYAN_PRECISION": precision}
    return {**kept, **ours}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one document, added by the command itself."""
    home = tmp_path_factory.mktemp("home")
    (home / "skerry.md").write_text(TEXT, "utf-8")
    (home / "broken.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    added = banyan(home, "add", str(home / "skerry.md"), str(home / "broken.pdf"))
    assert added.returncode == 0, added.stderr
    assert "default: 1 added, 0 unchanged, 1 failed" in added.stdout
    return home


def banyan(
    home: Path, *arguments: str, stdin: str = "", precision: str = "auto"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "banyan.cli.main", *arguments],
        env=environment(home, precision), input=stdin, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def answer(home: Path, *arguments: str, stdin: str = "") -> Any:
    ended = banyan(home, *arguments, "--json", stdin=stdin)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_a_question_is_answered_with_the_file_it_rests_on(home: Path) -> None:
    body = answer(home, "ask", "-", stdin="How high is the lighthouse of Skerry?")
    assert not body["refused"]
    assert "forty-two metres" in body["answer"]
    assert body["sources"][0]["path"] == str(home / "skerry.md")


def test_a_question_beyond_the_documents_is_refused(home: Path) -> None:
    assert answer(home, "ask", "Which metal melts at 1085 degrees?")["refused"]


def test_a_second_add_changes_nothing(home: Path) -> None:
    again = banyan(home, "add", str(home / "skerry.md"))
    assert "default: 0 added, 1 unchanged, 0 failed" in again.stdout


def test_a_base_travels_through_a_file(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "base.zip"
    other = tmp_path / "other"
    assert answer(home, "knowledge", "export", "default", str(file))["size_bytes"] > 0
    imported = answer(other, "knowledge", "import", str(file))
    assert (imported["documents"], imported["failed"]) == (2, 1)
    assert "Ada Brook" in answer(other, "ask", "Who was the last keeper?")["answer"]


def test_the_documents_show_why_one_failed(home: Path) -> None:
    records = answer(home, "knowledge", "documents")["documents"]
    assert sorted(record["status"] for record in records) == ["failed", "ready"]
    assert all(record["reason"] for record in records if record["status"] == "failed")


def test_the_server_starts_says_where_it_is_and_ends_cleanly(home: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "banyan.cli.main", "up", "--port", "0", "--json"],
        env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    address = json.loads(server.stdout.readline())["address"]
    with urllib.request.urlopen(f"{address}/api/health") as reply:
        assert json.load(reply)["status"] == "ok"
    began = time.monotonic()
    server.send_signal(signal.SIGINT)
    _, err = server.communicate(timeout=30)
    assert server.returncode == 0
    assert "Traceback" not in err
    assert time.monotonic() - began < 15


@pytest.mark.models
def test_a_pipe_talks_with_the_packaged_model(models_home: Path) -> None:
    ended = banyan(
        models_home, "chat", "--temperature", "0", "--max-tokens", "12",
        stdin="What is the capital of France?",
        precision="fp32",  # in bf16, logits of 25 come in steps of 1/8: the first two words tie
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "Paris" in ended.stdout
