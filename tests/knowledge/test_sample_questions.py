"""The packaged sample answers its questions, and refuses those it cannot answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from banyan.core.context import Context
from banyan.core.ports import Embedder
from banyan.engine.encoder import Encoder
from banyan.knowledge.embed import Embedders, Multilingual
from banyan.knowledge.evaluate import Report, evaluate, read_questions, report
from banyan.knowledge.library import Library
from banyan.knowledge.parse.limits import ParseLimits

QUESTIONS = Path(__file__).parents[2] / "evals" / "sample.jsonl"
RIGHT_ANSWERS, RIGHT_REFUSALS = 0.9, 0.8


def measured(folder: Path, english: Embedder | None) -> Report:
    embedders = Embedders(multilingual=Multilingual(), english=english)
    library = Library(folder, embedders=embedders, limits=ParseLimits())
    try:
        library.ensure_sample(Context())
        (base,) = library.bases(Context())
        questions = read_questions(QUESTIONS)
        assert sum(question.answerable for question in questions) == 40
        assert sum(not question.answerable for question in questions) == 40
        return report(list(evaluate(library, base.id, questions, Context())))
    finally:
        library.close()


def said(found: Report) -> str:
    return "\n".join(f"{one.fault}: {one.gold.text}" for one in found.worst)


def test_without_the_engine_it_answers_and_refuses_rightly(tmp_path: Path) -> None:
    found = measured(tmp_path, None)
    assert (found.answer_hit or 0) >= RIGHT_ANSWERS, said(found)
    assert (found.refusal_recall or 0) >= RIGHT_REFUSALS, said(found)


@pytest.mark.models
def test_with_the_english_encoder_it_answers_and_refuses_rightly(
    tmp_path: Path, models_home: Path
) -> None:
    english = Encoder.load(models_home / "models" / "all-minilm-l6-v2", "auto", 1)
    found = measured(tmp_path, english)
    assert (found.answer_hit or 0) >= RIGHT_ANSWERS, said(found)
    assert (found.refusal_recall or 0) >= RIGHT_REFUSALS, said(found)
