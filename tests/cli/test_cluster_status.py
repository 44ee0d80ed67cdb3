"""What ``banyan cluster status`` prints of a server's cluster, and of what is no such server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.conftest import Runner
from tests.server import cluster_states
from tests.server.harness import Running, running
from tests.server.stubs import StubApp

from banyan.cli import cluster_status
from banyan.core.settings import Settings
from banyan.server.keys import KeyRing


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(StubApp(Settings(home=tmp_path / "served", port=0))) as started:
        yield started


def test_one_machine_is_said_to_be_alone(run: Runner, server: Running) -> None:
    shown = run("cluster", "status", "--url", server.url)
    assert shown.out == "This server runs its model on one machine.\n"
    as_json = run("cluster", "status", "--url", server.url, "--json")
    assert as_json.out == '{\n  "cluster": null\n}\n'


def test_machines_ranks_links_and_choices_are_tables(run: Runner, server: Running) -> None:
    server.app.cluster = cluster_states.StubCluster(cluster_states.of(2, 1))
    lines = run("cluster", "status", "--url", f"{server.url}/v1").out.splitlines()
    shown = {" ".join(line.split()) for line in lines}
    assert {
        "state ready",
        "machines 2 of 2",
        "layout tp3",
        "writes 24.1 tokens/s",
        "requests 1 running, 0 waiting",
        "attic-1 10.0.0.2 4 512.0 MB 6.1 GB 16.6 GB 0.4 s ago",
        "2 attic-1 cpu ready 512.0 MB 0-29 3 512",
        "head - attic-1 120 us 936 Mbit/s",
        "head 4 us 72000 Mbit/s",
        "tp3 30 0.410 s 27.7 ms the best, by what was measured",
        "pp2 15+15 0.440 s 44.9 ms 1.62x slower: 17.2 ms more for sums between ranks.",
        "4.1 kB exchange 0.18 ms 0.16 ms scatter 0.23 ms",
    } <= shown
    assert "banyan join" not in " ".join(shown)


def test_a_group_that_waits_says_what_to_type_elsewhere(run: Runner, server: Running) -> None:
    waiting = replace(cluster_states.waiting("attic", "cellar"), tls=True)
    server.app.cluster = cluster_states.StubCluster(waiting)
    shown = run("cluster", "status", "--url", server.url).out
    assert "exact, encrypted" in shown
    assert "waits for" in shown
    assert "attic, cellar" in shown
    assert "  banyan join 10.0.0.1:7946 --token TOKEN --tls" in shown


def test_a_group_that_is_down_says_why(run: Runner, server: Running) -> None:
    cause = "Rank 1 on host attic-1: killed by SIGKILL."
    server.app.cluster = cluster_states.StubCluster(cluster_states.down(cause))
    assert cause in run("cluster", "status", "--url", server.url).out


def test_watching_shows_it_again_until_the_server_is_gone(
    run: Runner, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.app.cluster = cluster_states.StubCluster(cluster_states.of(1, 1))
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        server.app.cluster.now = replace(server.app.cluster.now, decoded_tokens=len(pauses))
        if len(pauses) == 2:
            server.stop()

    monkeypatch.setattr(cluster_status, "pause", pause)
    shown = run("cluster", "status", "--url", server.url, "--watch", "--json")
    looks = [json.loads(line)["cluster"]["decoded_tokens"] for line in shown.out.splitlines()[:2]]
    assert looks == [120, 1]
    assert shown.code == 9
    assert "No server answers" in shown.err


def test_a_server_that_wants_a_key_gets_one(run: Runner, tmp_path: Path) -> None:
    app = StubApp(Settings(home=tmp_path / "served", port=0))
    key = KeyRing(app.settings.home / "keys.json").add("operator")
    with running(app, allowed_hosts="banyan.example") as server:
        refused = run("cluster", "status", "--url", server.url)
        assert refused.code == 4
        assert "--key" in refused.err
        assert run("cluster", "status", "--url", server.url, "--key", key).code == 0


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b"{}", b'{"cluster": {"state": 3}}', b'{"cluster": ' + b"[" * 100_000],
    ids=["html", "list", "empty", "other fields", "deep"],
)
def test_what_is_no_such_server_is_recognised(
    run: Runner, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(cluster_status, "_fetched", lambda url, key: body)
    shown = run("cluster", "status")
    assert shown.code == 6
    assert "Is it a Banyan server of this version?" in shown.err


def test_an_answer_without_end_is_cut_off(
    run: Runner, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_status, "MAX_BODY_BYTES", 10)
    shown = run("cluster", "status", "--url", server.url)
    assert shown.code == 6
    assert "more than 10 bytes" in shown.err


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "no address", "ftp://127.0.0.1"])
def test_where_nobody_answers_the_address_is_asked_for(run: Runner, url: str) -> None:
    shown = run("cluster", "status", "--url", url)
    assert shown.code == 9
    assert "--url" in shown.err
