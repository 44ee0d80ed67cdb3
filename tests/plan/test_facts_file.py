"""Facts that a cluster told are read back as they were, and nothing else is."""

from __future__ import annotations

import json

import pytest
from tests.plan.beds import bed

from banyan.core.errors import InputError
from banyan.core.layout import to_json
from banyan.plan.facts_file import MAX_BYTES, parse_facts


def status(**changes: object) -> str:
    return json.dumps({"cluster": {"state": "ready", "facts": {**to_json(bed()), **changes}}})


def test_facts_come_back_as_they_were_told() -> None:
    assert parse_facts(status()) == bed()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no facts"),
        ('{"cluster": null}', "no facts"),
        ('{"cluster": {"facts": null}}', "no facts"),
        ('{"cluster": {"facts": 3}}', "cannot be"),
        (status(hosts=[]), "no hosts"),
        (status(links=[[]]), "links that are not those of 2 hosts"),
        (" " * (MAX_BYTES + 1), str(MAX_BYTES)),
    ],
)
def test_anything_else_is_refused_with_how_to_write_one(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        parse_facts(text)
    assert "banyan cluster status --json" in refused.value.remedy


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 0, -1.0, "fast", 1e30])
def test_rates_that_no_machine_has_are_refused(number: object) -> None:
    facts = to_json(bed())
    facts["hosts"][0]["devices"][0]["flops"] = number
    with pytest.raises(InputError, match="cannot be"):
        parse_facts(json.dumps({"cluster": {"facts": facts}}))
