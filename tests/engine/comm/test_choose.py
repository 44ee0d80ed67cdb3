"""Which collective a group gets for the names it is given."""

from __future__ import annotations

import pytest
from tests.engine.comm.groups import at_once, make_groups

from banyan.core.errors import InputError
from banyan.engine.comm.auto import Auto
from banyan.engine.comm.choose import PAYLOADS, make_collective
from banyan.engine.comm.collectives import COLLECTIVES


@pytest.mark.parametrize("name", COLLECTIVES)
def test_a_named_algorithm_is_what_one_gets(name: str) -> None:
    made = at_once(make_groups((1, 1)), lambda group: make_collective(group, name, "exact"))
    assert [collective.name for collective in made] == [name, name]


def test_a_lossy_payload_is_one_more_candidate_for_auto() -> None:
    made = at_once(make_groups((1, 1)), lambda group: make_collective(group, "auto", "int8"))
    for collective in made:
        assert isinstance(collective, Auto)
        assert "exchange+int8" in collective.candidates


def test_auto_alone_never_loses_anything() -> None:
    made = at_once(make_groups((1, 1)), lambda group: make_collective(group, "auto", "exact"))
    for collective in made:
        assert isinstance(collective, Auto)
        assert set(collective.candidates) == set(COLLECTIVES)


@pytest.mark.parametrize(
    ("algorithm", "payload", "known"),
    [
        ("gossip", "exact", "exchange"),
        ("auto", "int4", "int8"),
        ("tree", "bf16", "--payload"),
    ],
)
def test_what_does_not_exist_or_fit_is_refused_before_anything_is_sent(
    algorithm: str, payload: str, known: str
) -> None:
    with pytest.raises(InputError) as refusal:
        make_collective(make_groups((1,))[0], algorithm, payload)
    assert known in str(refusal.value.remedy)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_exchange_takes_every_payload(payload: str) -> None:
    made = at_once(make_groups((1, 1)), lambda group: make_collective(group, "exchange", payload))
    assert made[0].name == ("exchange" if payload == "exact" else f"exchange+{payload}")
