"""Ask your own documents from Python: add a folder, ask, print the sentences and their sources.

python examples/01_ask_your_documents.py FOLDER "QUESTION"
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from banyan.app import App
from banyan.core.context import Context
from banyan.core.events import Refused, SentenceReady
from banyan.core.settings import Settings


def main(folder: Path, question: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        app = App(replace(Settings.from_environment(), home=Path(home)))
        context = Context()
        app.library.create_base("mine", "My documents", context)
        for _ in app.library.add([folder], "mine", context):
            pass  # progress, and one event a file that says how it ended
        for event in app.library.ask(question, "mine", context):
            if isinstance(event, SentenceReady):
                print(event.text, *(f"[{c.title}, p. {c.page or '-'}]" for c in event.citations))
            elif isinstance(event, Refused):
                print(event.reason)
        app.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
