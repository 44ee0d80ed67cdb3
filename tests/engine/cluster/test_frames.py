"""What arrives on a control connection is a record, or a ``ValueError``: nothing else."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banyan.engine.cluster.frames import (
    MAX_RANKS,
    Beat,
    Hello,
    HostReport,
    Prepare,
    Prepared,
    RankNews,
    RankPort,
    RankState,
    RankVitals,
    Refusal,
    Start,
    Stop,
    Unable,
    frame,
    said,
)
from banyan.engine.pulse import Progress

KINDS = (Hello, Prepare, Prepared, Unable, Start, Stop, RankNews, Beat, Refusal)
PARTS = (HostReport, RankState, RankVitals, RankPort, Progress)
REPORT = HostReport(
    name="attic", ranks=2, device="cuda:1", cores=4, memory_bytes=8 << 30, instance="ab"
)
RECORDS = [
    Hello(report=REPORT),
    Prepare(group="ab", ranks=(3, 4), address="10.0.0.2"),
    Prepared(group="ab", ports=(RankPort(rank=3, port=4000),)),
    Unable(group="ab", message="no"),
    Stop(group="ab"),
    RankNews(group="ab", state=RankState(rank=3, state="failed", message="x", symptom=True)),
    Beat(
        memory_used_bytes=7,
        ranks=(
            RankVitals(
                rank=3, rss_bytes=9, progress=Progress(begun=2, done=1, moves=5), group="ab"
            ),
        ),
    ),
    Refusal(message="no", remedy="yes"),
]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
names = st.sampled_from(
    ["op", *sorted({entry.name for kind in (*KINDS, *PARTS) for entry in fields(kind)})]  # type: ignore[arg-type]  # dataclasses
)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_what_is_said_is_what_is_heard(record: Any) -> None:
    assert said(type(record), json.loads(json.dumps(frame("x", record)))) == record


@given(kind=st.sampled_from(KINDS), content=st.dictionaries(names, anything, max_size=4))
def test_frames_of_any_content_are_records_or_a_value_error(
    kind: type[object], content: dict[str, Any]
) -> None:
    try:
        found = said(kind, content)
    except ValueError:
        return
    assert isinstance(found, kind)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", ""),
        ("name", "x" * 65),
        ("name", "two\nlines"),
        ("ranks", 0),
        ("ranks", MAX_RANKS + 1),
        ("ranks", True),
        ("cores", 10**400),
        ("memory_bytes", 1 << 60),
        ("memory_bytes", 1.5),
        ("device", "tpu"),
        ("device", "cuda:" + "1" * 1000),
        ("instance", "x" * 1000),
    ],
)
def test_a_report_beyond_all_measure_is_refused(name: str, value: object) -> None:
    told = frame("hello", Hello(report=REPORT))
    told["report"][name] = value
    with pytest.raises(ValueError):
        said(Hello, told)


@pytest.mark.parametrize("port", [0, -1, 65536, 10**9])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(ValueError):
        said(Prepared, {"op": "prepared", "ports": [{"rank": 1, "port": port}]})
