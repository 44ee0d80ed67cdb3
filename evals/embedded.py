"""The embedded models as an evaluation uses them, and the options every evaluation has."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import cast

from banyan.app import App
from banyan.app.local_models import MINILM
from banyan.core.context import Context
from banyan.core.errors import UnknownModel
from banyan.core.ports import TextScorer
from banyan.knowledge.embed import MULTILINGUAL, Embedders


def embedders(app: App) -> Embedders:
    try:
        english = app.embedder(MINILM)
    except UnknownModel:
        print(f"{MINILM} is not installed: no method uses it.", file=sys.stderr)
        english = None
    return Embedders(multilingual=app.embedder(MULTILINGUAL), english=english)


def scorer(app: App) -> TextScorer | None:
    """The packaged chat model; waiting for it to load is not part of any query."""
    try:
        model = cast(TextScorer, app.text_model(app.settings.chat_model))
    except UnknownModel:
        print(f"{app.settings.chat_model} is not installed: nothing is reranked.", file=sys.stderr)
        return None
    model.score([("Load", " now")], Context())
    return model


def parser(description: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--home", type=Path, default=Path(".models"), help="home with the models")
    made.add_argument("--data", type=Path, required=True, help="folder of question sets")
    made.add_argument("--cache", type=Path, default=Path("results/cache"), help="where bases lie")
    made.add_argument("--sets", nargs="*", help="only these sets")
    made.add_argument("--full", action="store_true", help="every question")
    return made
