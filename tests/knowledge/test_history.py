"""What is remembered of a question."""

from __future__ import annotations

import json

from banyan.core.context import Context, Step
from banyan.core.events import SentenceReady
from banyan.core.types import Citation
from banyan.knowledge.history import NoHistory, TraceRecord, Turn


def test_a_trace_becomes_json_with_its_steps_and_citations() -> None:
    citation = Citation(
        number=1,
        passage_id="d-0",
        document_id="d",
        title="T",
        page=None,
        start=0,
        end=3,
        quote="Yes",
    )
    record = TraceRecord(
        id="t",
        base_id="base",
        conversation_id="c",
        question="Q?",
        understood="Q?",
        mode="extractive",
        refused=False,
        seconds=0.5,
        steps=(Step(name="prepare", seconds=0.1, detail={"terms": ["q"]}),),
        answer=(SentenceReady(text="Yes", citations=(citation,), support=1.0),),
        document_ids=("d",),
    )
    read = json.loads(json.dumps(record.to_json()))
    assert read["steps"][0]["detail"] == {"terms": ["q"]}
    assert read["answer"][0]["citations"][0]["quote"] == "Yes"


def test_without_a_history_nothing_is_remembered() -> None:
    nothing = NoHistory()
    nothing.add_turn("c", Turn(question="Q?", topic="q"), Context())
    assert nothing.turns("c", Context()) == []
