"""What cannot work is refused before anything listens."""

from __future__ import annotations

import pytest

from banyan.core.errors import InputError
from banyan.engine.cluster.head_settings import HeadSettings


def settings(**changes: object) -> HeadSettings:
    given: dict[str, object] = {"address": "10.0.0.1", "port": 0, "token": "t", "hosts": 1}
    return HeadSettings(**{**given, **changes})  # type: ignore[arg-type]  # checked at run time


def test_the_head_reports_itself_as_a_host_of_that_name() -> None:
    report = settings(local_ranks=3, device="cuda:1").report()
    assert (report.name, report.ranks, report.device) == ("head", 3, "cuda:1")
    assert report.cores > 0
    assert report.memory_bytes > 0


@pytest.mark.parametrize("address", ["", "0.0.0.0", "::"])
def test_an_address_that_is_nowhere_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="cannot reach this one") as refused:
        settings(address=address).report()
    assert "--cluster-address" in refused.value.remedy


def test_a_name_is_as_good_as_an_address() -> None:
    assert settings(address="tower.local").report().name == "head"


def test_without_a_token_nobody_may_join() -> None:
    with pytest.raises(InputError, match="token is empty"):
        settings(token="").report()


@pytest.mark.parametrize(
    ("wrong", "words"), [({"local_ranks": 65}, "65 ranks"), ({"device": "tpu"}, "tpu")], ids=str
)
def test_what_no_host_can_be_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        settings(**wrong).report()
