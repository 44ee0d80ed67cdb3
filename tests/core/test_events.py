"""Every event has a name and turns into plain JSON."""

from __future__ import annotations

import json
from typing import get_args

from banyan.core.events import (
    AnswerDone,
    DocumentAdded,
    Event,
    Failed,
    GenerationDone,
    ModelReady,
    PassagesFound,
    Progress,
    Refused,
    SentenceReady,
    TokenReady,
    to_json,
)
from banyan.core.types import Citation, Passage, TokenLogprob, Usage

PASSAGE = Passage(
    id="p", base_id="b", document_id="d", title="T", heading_path=("H",), text="text",
    start=0, end=4, page=1, label="public", language="en", score=1.0, scores={"bm25": 1.0},
)  # fmt: skip
CITATION = Citation(
    number=1, passage_id="p", document_id="d", title="T", page=None, start=0, end=4, quote="text"
)
EVENTS: list[Event] = [
    Progress(stage="embed", done=1, total=2),
    DocumentAdded(document_id="d", path="a.md", status="ready"),
    ModelReady(name="m", path="/m.gguf", size_bytes=1, already=False),
    PassagesFound(passages=(PASSAGE,)),
    SentenceReady(text="text", citations=(CITATION,), support=0.9),
    Refused(reason="no", nearest=(PASSAGE,)),
    AnswerDone(
        trace_id="t", conversation_id="c", question="q", refused=False, mode="extractive",
        seconds=0.1,
    ),
    TokenReady(text="a", logprobs=(TokenLogprob(text="a", logprob=-1.0, top=(("a", -1.0),)),)),
    GenerationDone(finish_reason="stop", usage=Usage(prompt_tokens=1, completion_tokens=2)),
    Failed(code="engine_failed", message="m"),
]  # fmt: skip


def test_every_kind_of_event_becomes_json_that_names_its_type() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(Event))
    names = [json.loads(json.dumps(to_json(event)))["type"] for event in EVENTS]
    assert len(set(names)) == len(names)


def test_nested_records_become_objects() -> None:
    body = to_json(EVENTS[4])
    assert body["citations"] == [
        {
            "number": 1, "passage_id": "p", "document_id": "d", "title": "T", "page": None,
            "start": 0, "end": 4, "quote": "text",
        }
    ]  # fmt: skip
