"""The main job as a stranger does it, in a real browser, timed from the command on.

    make bench-first-answer

Starts `banyan up` in a fresh home (the models pulled already), asks sample questions in English
and Chinese, uploads a PDF and a DOCX of the data folder, asks about them and opens a citation.
Screenshots go to results/first-answer/.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright
from table import Row, report

BANYAN = str(Path(sys.executable).with_name("banyan"))
SHOTS = Path("results") / "first-answer"
FILES = "documents/haystack/test_files"
UPLOADS = {
    f"{FILES}/pdf/react_paper.pdf": "What does ReAct combine?",
    f"{FILES}/docx/sample_docx_1.docx": "When was PDF released as an open standard?",
}
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Stopwatch:
    """Rows of what was done, with the seconds since the one before and since the start."""

    began: float = field(default_factory=time.perf_counter)
    rows: list[Row] = field(default_factory=list)
    last: float = 0.0

    def lap(self, what: str) -> None:
        now = time.perf_counter() - self.began
        self.rows.append(
            {"what": what, "seconds": round(now - self.last, 2), "since_start": round(now, 2)}
        )
        self.last = now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="home with pulled models")
    parser.add_argument("--data", type=Path, required=True, help="folder of the evaluation sets")
    parser.add_argument("--full", action="store_true", help="not used here")
    options = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise SystemExit("Chromium is not installed; it is what drives the console here.")
    SHOTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home = Path(folder)
        (home / "models").symlink_to((options.home / "models").resolve())
        opened = playwright.chromium.launch(executable_path=browser, args=CHROMIUM_OPTIONS)
        page = opened.new_page(viewport={"width": 1280, "height": 800}, locale="en-US")
        port = _free_port()
        watch = Stopwatch()
        server = subprocess.Popen(
            [BANYAN, "up", "--port", str(port)], env={**os.environ, "BANYAN_HOME": str(home)},
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _drive(page, f"http://127.0.0.1:{port}", options.data, watch)
        finally:
            server.terminate()
            server.wait(timeout=10)
            opened.close()
    report("first-answer", watch.rows)


def _drive(page: Page, url: str, data: Path, watch: Stopwatch) -> None:
    _open(page, url)
    watch.lap("command to console")
    page.screenshot(path=SHOTS / "1-open.png")
    samples = page.locator("button.sample")
    expect(samples).to_have_count(6, timeout=60_000)
    questions = samples.all_inner_texts()
    for number, question in enumerate((questions[0], questions[3], questions[2]), start=1):
        _ask(page, question)
        watch.lap(f"asked: {question}")
        page.screenshot(path=SHOTS / f"2-sample-{number}.png")
    page.goto(f"{url}/#/documents")
    files = [data / name for name in UPLOADS]
    page.locator("input[type=file]").first.set_input_files(files)
    ready = f"{len(files)} of {len(files)} files ready"
    expect(page.get_by_text(ready)).to_be_visible(timeout=120_000)
    watch.lap("uploaded a PDF and a DOCX")
    page.screenshot(path=SHOTS / "3-documents.png")
    page.goto(f"{url}/#/ask")
    for number, question in enumerate(UPLOADS.values(), start=1):
        _ask(page, question)
        watch.lap(f"asked: {question}")
        page.screenshot(path=SHOTS / f"4-upload-{number}.png")
    page.locator(".chip-citation").first.click()
    expect(page.locator("dialog mark").first).to_be_in_viewport()
    page.screenshot(path=SHOTS / "5-citation.png")
    watch.lap("opened a citation")


def _open(page: Page, url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            page.goto(url)
            break
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    page.wait_for_selector("textarea.composer-field")


def _ask(page: Page, question: str) -> None:
    before = page.locator(".answer-foot, .refusal").count()
    page.locator("textarea.composer-field").fill(question)
    page.keyboard.press("Enter")
    page.wait_for_function(
        "n => document.querySelectorAll('.answer-foot, .refusal').length > n",
        arg=before,
        timeout=60_000,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
