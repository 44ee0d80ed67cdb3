"""A group forms of the hosts that join, and whoever dies is named."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.engine.cluster.toys import toys, use_toy_ranks, wait_until

from banyan.core.context import Context
from banyan.core.errors import ClusterDown, DeadlineExceeded
from banyan.engine.config import EngineConfig


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    use_toy_ranks(monkeypatch)


def test_a_group_forms_of_the_hosts_that_join_and_each_fetches_its_part_once(
    tmp_path: Path,
) -> None:
    with toys(tmp_path, hosts=2, local_ranks=2) as cluster:
        cluster.join("attic")
        cluster.join("cellar")
        cluster.form()
        status = cluster.head.status()
        assert status.state == "ready"
        assert status.layout == "tp4"
        assert [len(host.ranks) for host in status.hosts] == [2, 1, 1]
        assert {host.name for host in status.hosts} == {"head", "attic", "cellar"}
        fetched = [event for event in cluster.events if event.startswith("Fetching")]
        assert len(fetched) == 2
        cluster.form()
        assert [event for event in cluster.events if event.startswith("Fetching")] == fetched


def test_a_host_that_has_the_checkpoint_fetches_nothing(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster:
        cluster.join("attic", find=lambda name: cluster.path)
        cluster.form()
        assert not [event for event in cluster.events if event.startswith("Fetching")]


def test_a_killed_rank_is_named_with_its_signal_and_the_group_forms_again(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster:
        cluster.join("attic")
        cluster.form()
        os.kill(cluster.rank_pids()[1], signal.SIGKILL)
        began = time.monotonic()
        wait_until(lambda: cluster.head.cause)
        assert time.monotonic() - began < 5
        assert "Rank 1 on host attic" in cluster.head.cause
        assert "SIGKILL" in cluster.head.cause
        assert "memory" in cluster.head.cause
        assert cluster.head.status().state == "down"
        cluster.form()
        assert cluster.head.status().state == "ready"


def test_a_stopped_rank_is_found_by_its_silence(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster:
        cluster.join("attic")
        cluster.form()
        os.kill(cluster.rank_pids()[1], signal.SIGSTOP)
        began = time.monotonic()
        wait_until(lambda: cluster.head.cause)
        assert time.monotonic() - began < 6
        assert "Rank 1 on host attic" in cluster.head.cause
        assert "stopped or stuck" in cluster.head.cause


def test_a_rank_without_memory_is_named_and_not_shown_as_a_broken_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY", "no memory 1")
    with toys(tmp_path, hosts=1) as cluster:
        cluster.join("attic")
        with pytest.raises(ClusterDown, match="Rank 1 on host attic: It ran out of memory"):
            cluster.form()


def test_while_hosts_are_missing_forming_waits_and_can_be_given_up(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=2) as cluster:
        cluster.join("attic")
        wait_until(lambda: cluster.head.missing == 1)
        assert cluster.head.status().state == "forming"
        context = Context(deadline=time.monotonic() + 0.3)
        with pytest.raises(DeadlineExceeded):
            cluster.head.form(cluster.path, "toy", EngineConfig(), context)
