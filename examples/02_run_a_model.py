"""Run a model in this process: stream a chat answer, then score two endings of a sentence.

python examples/02_run_a_model.py [MODEL.gguf or folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

from banyan.core.context import Context
from banyan.core.events import TokenReady
from banyan.core.settings import Settings
from banyan.core.types import Message, Sampling
from banyan.engine.config import EngineConfig
from banyan.engine.engine import Engine
from banyan.models.store import Store


def main(name: str) -> None:
    path = Store(Settings.from_environment().home).resolve(name)
    engine = Engine.load(Path(path), EngineConfig())
    question = [Message(role="user", content="Name three trees, one a line.")]
    for event in engine.chat(question, Sampling(max_tokens=40, temperature=0.0), Context()):
        if isinstance(event, TokenReady):
            print(event.text, end="", flush=True)
    print()
    start = "The capital of France is"
    for ending, tokens in zip(
        (" Paris.", " Berlin."),
        engine.score([(start, " Paris."), (start, " Berlin.")], Context()),
        strict=True,
    ):
        print(f"{start}{ending}  log P = {sum(token.logprob or 0.0 for token in tokens):.2f}")
    engine.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "smollm2-135m-instruct")
