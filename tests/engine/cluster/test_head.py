"""A group forms of the hosts that join, and whoever dies is named."""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tests.engine.cluster.toys import Toys, toys, use_toy_ranks, wait_until

from banyan.core.cluster import RankStatus
from banyan.core.context import Context
from banyan.core.errors import ClusterDown, DeadlineExceeded, HostUnreachable, InputError
from banyan.engine.cluster.head import Head
from banyan.engine.cluster.head_settings import HeadSettings


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


def test_the_links_are_measured_before_the_layout_is_chosen(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=2) as cluster:
        cluster.join("attic")
        cluster.join("cellar")
        cluster.form()
        facts = cluster.head.status().facts
        assert facts is not None
        assert next(host.name for host in facts.hosts) == "head"
        for i, row in enumerate(facts.links):
            for j, link in enumerate(row):
                assert link.is_measured == (i != j)
        assert not any("could not be measured" in event for event in cluster.events)


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
        wait_until(lambda: cluster.replica.cause)
        assert time.monotonic() - began < 8
        assert "Rank 1 on host attic" in cluster.replica.cause
        assert "SIGKILL" in cluster.replica.cause
        assert "memory" in cluster.replica.cause
        assert cluster.head.status().state == "down"
        cluster.form()
        assert cluster.head.status().state == "ready"


def test_a_stopped_rank_is_found_by_its_silence(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster:
        cluster.join("attic")
        cluster.form()
        os.kill(cluster.rank_pids()[1], signal.SIGSTOP)
        began = time.monotonic()
        wait_until(lambda: cluster.replica.cause)
        assert time.monotonic() - began < 8
        assert "Rank 1 on host attic" in cluster.replica.cause
        assert "stopped or stuck" in cluster.replica.cause


def test_a_rank_without_memory_is_named_and_not_shown_as_a_broken_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY", "no memory 1")
    with toys(tmp_path, hosts=1) as cluster:
        cluster.join("attic")
        with pytest.raises(ClusterDown, match="Rank 1 on host attic: It ran out of memory"):
            cluster.form()


def test_a_rank_that_dies_by_itself_is_named_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOY", "crash 1")
    with toys(tmp_path, hosts=1) as cluster:
        cluster.join("attic")
        with pytest.raises(ClusterDown, match=r"Rank 1 on host attic: .*SIGABRT.*bad news"):
            cluster.form()
    assert "something useful" in capfd.readouterr().err


def test_a_rank_that_hangs_is_named_though_it_still_says_that_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY", "hang 2")
    with toys(tmp_path, hosts=1, step_timeout_s=1.5) as cluster:
        cluster.join("attic", ranks=2)
        cluster.form()
        wait_until(lambda: cluster.replica.cause)
        assert "stood still for 1.5 s. Rank 2 on host attic hangs" in cluster.replica.cause


@pytest.mark.parametrize("victim", [0, 1, 2, 3])
def test_of_many_that_notice_a_death_the_one_that_died_is_named(
    tmp_path: Path, victim: int
) -> None:
    with toys(tmp_path, hosts=2, local_ranks=2) as cluster:
        cluster.join("attic")
        cluster.join("cellar")
        cluster.form()
        os.kill(cluster.rank_pids()[victim], signal.SIGKILL)
        wait_until(lambda: cluster.replica.cause)
        assert cluster.replica.cause.startswith(f"Rank {victim} on host ")
        assert "SIGKILL" in cluster.replica.cause


def test_a_stopped_host_is_found_by_its_silence_and_taken_back(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster, cluster.process("attic", ranks=2) as host:
        cluster.form()
        host.suspend()
        began = time.monotonic()
        wait_until(lambda: cluster.replica.cause)
        assert time.monotonic() - began < 8
        assert "Host attic" in cluster.replica.cause
        assert "has not answered for" in cluster.replica.cause
        assert cluster.head.missing == 1
        host.resume()
        cluster.form()
        assert cluster.head.status().state == "ready"


def test_the_ranks_of_a_killed_host_end_with_it_even_a_stopped_one(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster, cluster.process("attic", ranks=2) as host:
        cluster.form()
        ranks = host.children()
        assert len(ranks) == 2
        ranks[0].suspend()
        host.kill()
        wait_until(lambda: cluster.replica.cause)
        assert "Host attic" in cluster.replica.cause
        wait_until(lambda: not any(_lives(rank) for rank in ranks))


def test_the_status_tells_every_rank_with_its_process_and_memory(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1, local_ranks=2) as cluster:
        cluster.join("attic")
        cluster.form()
        wait_until(lambda: all(rank.rss_bytes for rank in _ranks(cluster)))
        assert [rank.rank for rank in _ranks(cluster)] == [0, 1, 2]
        assert {rank.state for rank in _ranks(cluster)} == {"ready"}
        assert {rank.pid for rank in _ranks(cluster)} == set(cluster.rank_pids().values())
        for host in cluster.head.status().hosts:
            assert 0 < host.memory_used_bytes < host.memory_bytes
            assert host.silence_s < 3


def test_a_head_that_was_closed_takes_nobody_in_and_frees_its_port(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster:
        port = cluster.head.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    with toys(tmp_path, hosts=1, port=port) as again:
        again.join("attic")
        again.form()


@pytest.mark.parametrize(
    "wrong", [{"address": "0.0.0.0"}, {"address": ""}, {"token": ""}, {"device": "tpu"}], ids=str
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, str]) -> None:
    settings = HeadSettings(address="127.0.0.1", port=0, token="x", hosts=1)
    with pytest.raises(InputError):
        Head(replace(settings, **wrong), lambda shape, hosts: pytest.fail("not called"))  # type: ignore[arg-type]  # texts


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster:
        port = cluster.head.port
        with pytest.raises(HostUnreachable, match=str(port)):
            Toys(tmp_path, hosts=1, port=port)


def _ranks(cluster: Toys) -> list[RankStatus]:
    return [rank for host in cluster.head.status().hosts for rank in host.ranks]


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_only_the_hosts_of_the_hosts_file_may_join_and_the_missing_ones_are_named(
    tmp_path: Path,
) -> None:
    with toys(tmp_path, hosts=2, names=("attic", "cellar")) as cluster:
        cluster.join("garage")
        wait_until(lambda: cluster.refusals)
        assert "No host named 'garage' is awaited" in str(cluster.refusals[0])
        assert "attic, cellar" in cluster.refusals[0].remedy
        cluster.join("cellar")
        wait_until(lambda: cluster.head.missing == 1)
        assert cluster.head.awaited == "Not here: attic."
        cluster.join("attic")
        cluster.form()
        assert cluster.head.awaited == ""
        group = cluster.replica.group
        assert group is not None
        assert [guest.report.name for guest in group.guests] == ["attic", "cellar"]


def test_while_hosts_are_missing_forming_waits_and_can_be_given_up(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=2) as cluster:
        cluster.join("attic")
        wait_until(lambda: cluster.head.missing == 1)
        assert cluster.head.status().state == "forming"
        context = Context(deadline=time.monotonic() + 0.3)
        with pytest.raises(DeadlineExceeded):
            cluster.deal(context)
