"""banyan join, and what serve makes of other machines: each wrong argument says what to do."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.cli.conftest import Run, Runner
from tests.cli.fake_app import FakeApp
from tests.server import cluster_states

from banyan.cli import cluster as cluster_module
from banyan.core.cluster import ClusterStatus
from banyan.core.context import Context
from banyan.plan.hosts import HostSpec
from banyan.server import main as server_main

HOSTS = """
[head]
address = "10.0.0.1"
ranks = 2
device = "cuda:0"
tls = true

[[host]]
name = "attic"
ssh = "me@10.0.0.2"

[[host]]
name = "cellar"
"""


class FakeCluster:
    """A cluster that is ready at once and remembers which hosts it was to start."""

    address = "10.0.0.1:7946"
    token = "seven-trees"

    def __init__(self) -> None:
        self.started: list[str] = []

    def start_hosts(self, hosts: Sequence[HostSpec]) -> None:
        self.started += [host.name for host in hosts if host.ssh]

    def wait_ready(self, context: Context) -> None:
        pass

    def status(self) -> ClusterStatus:
        return cluster_states.of(1, 1)


@pytest.fixture
def spreading(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    """Serving ends at once."""
    app.cluster = FakeCluster()
    monkeypatch.setattr(server_main, "serve", lambda *_, **__: None)
    return app


@pytest.fixture
def hosts(tmp_path: Path) -> str:
    path = tmp_path / "hosts.toml"
    path.write_text(HOSTS, encoding="utf-8")
    return str(path)


def is_refused(shown: Run, words: str, remedy: str) -> None:
    assert shown.code == 2
    assert words in shown.err.replace("\n", " ")
    assert remedy in shown.err.replace("\n", " ")


# join


def test_join_hands_on_all_that_was_said(run: Runner, app: FakeApp) -> None:
    shown = run(
        *("join", "tower.local:7946", "--token", "t", "--name", "attic", "--ranks", "2"),
        *("--device", "cuda:1", "--tls"),
    )
    assert shown.code == 0
    (options,) = app.joined
    assert (options.address, options.port, options.token) == ("tower.local", 7946, "t")
    assert (options.name, options.ranks, options.device) == ("attic", 2, "cuda:1")
    assert options.tls
    assert "Joined." in shown.err
    assert "Ctrl-C leaves" in shown.err


def test_a_machine_is_called_what_it_calls_itself(run: Runner, app: FakeApp) -> None:
    run("join", "10.0.0.1:7946", "--token", "t")
    assert app.joined[0].name == socket.gethostname()
    assert not app.joined[0].tls


def test_the_token_may_come_over_standard_input(run: Runner, app: FakeApp) -> None:
    run("join", "10.0.0.1:7946", "--token-stdin", stdin="  secret \nmore\n")
    assert app.joined[0].token == "secret"


def test_the_cap_of_the_slice_cache_is_the_setting(
    run: Runner, app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANYAN_SLICE_CACHE_BYTES", "1000")
    run("join", "10.0.0.1:7946", "--token", "t")
    assert app.joined[0].slice_cache_bytes == 1000


def test_events_as_json_are_one_a_line(run: Runner, app: FakeApp) -> None:
    assert {"event": "Joined."} in run("join", "10.0.0.1:7946", "--token", "t", "--json").lines


@pytest.mark.parametrize("where", ["10.0.0.1", ":7946", "x:", "x:0", "x:65536", "x:²", "x:-1"])
def test_an_address_without_a_port_is_refused_with_an_example(
    run: Runner, app: FakeApp, where: str
) -> None:
    is_refused(run("join", where, "--token", "t"), "is not HOST:PORT", "10.0.0.1:7946")
    assert app.joined == []


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        ((), "", "The token is missing"),
        (("--token-stdin",), "", "The token is missing"),
        (("--token-stdin",), "\n", "The token is missing"),
        (("--token-stdin",), "x" * 5000, "MAX_TOKEN = 1024"),
        (("--token", "t", "--token-stdin"), "t\n", "given twice"),
    ],
)
def test_a_token_that_is_none_is_refused(
    run: Runner, app: FakeApp, arguments: tuple[str, ...], stdin: str, words: str
) -> None:
    is_refused(run("join", "10.0.0.1:7946", *arguments, stdin=stdin), words, "")
    assert app.joined == []


@pytest.mark.parametrize("wrong", [("--ranks", "0"), ("--ranks", "65"), ("--ranks", "x")], ids=str)
def test_ranks_out_of_range_are_refused(run: Runner, app: FakeApp, wrong: tuple[str, str]) -> None:
    is_refused(run("join", "10.0.0.1:7946", "--token", "t", *wrong), "--ranks", "")


# serve on several machines


def test_serve_says_what_to_type_on_the_others(run: Runner, spreading: FakeApp) -> None:
    shown = run("serve", "tiny", "--workers", "2", "--cluster-address", "10.0.0.1", "--tls")
    assert shown.code == 0
    ((model, options),) = spreading.spread_models
    assert (model, options.workers, options.address) == ("tiny", 2, "10.0.0.1")
    assert options.tls
    assert "Waiting for 2 machine(s)" in shown.err
    assert "banyan join 10.0.0.1:7946 --token seven-trees --tls" in shown.err


def test_how_many_copies_stages_and_ranks_is_handed_on(run: Runner, spreading: FakeApp) -> None:
    for command in (["serve", "tiny"], ["up"]):
        numbers = ["--tp", "2", "--pp", "3", "--replicas", "4", "--objective", "throughput"]
        assert run(*command, "--workers", "1", *numbers).code == 0
        _, options = spreading.spread_models[-1]
        assert (options.tp, options.pp, options.replicas) == (2, 3, 4)
        assert options.objective == "throughput"
    shown = run("serve", "tiny", "--workers", "1", "--objective", "speed")
    is_refused(shown, "'speed' is not a objective", "throughput, ttft, itl")


def test_without_tls_the_line_has_none(run: Runner, spreading: FakeApp) -> None:
    shown = run("serve", "tiny", "--workers", "1")
    assert not spreading.spread_models[0][1].tls
    assert "seven-trees\n" in shown.err
    assert "--tls" not in shown.err


def test_a_machine_without_a_network_is_told_that_others_cannot_reach_it(
    run: Runner, spreading: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "own_address", lambda: "127.0.0.1")
    assert "give --cluster-address" in run("serve", "tiny", "--workers", "1").err


def test_the_hosts_file_says_who_takes_part_and_who_is_started(
    run: Runner, spreading: FakeApp, hosts: str
) -> None:
    shown = run("serve", "tiny", "--hosts", hosts)
    ((_, options),) = spreading.spread_models
    assert (options.workers, options.names) == (2, ("attic", "cellar"))
    assert (options.address, options.local_ranks, options.device) == ("10.0.0.1", 2, "cuda:0")
    assert options.tls
    assert spreading.cluster.started == ["attic"]
    assert "Waiting for 1 machine(s)" in shown.err, "the other one is started"


def test_what_is_said_twice_about_machines_is_refused(
    run: Runner, spreading: FakeApp, hosts: str
) -> None:
    for more in (("--workers", "1"), ("--local-ranks", "2")):
        shown = run("serve", "tiny", "--hosts", hosts, *more)
        is_refused(shown, "--hosts says which machines there are", "[[host]]")
    assert spreading.spread_models == []


@pytest.mark.parametrize(
    "idle",
    [
        ("--tls",),
        ("--token", "t"),
        ("--cluster-address", "10.0.0.1"),
        ("--cluster-port", "1"),
        ("--algorithm", "tree"),
        ("--payload", "int8"),
        ("--layout", "pp"),
        ("--replicas", "2"),
    ],
    ids=lambda idle: idle[0],
)
def test_what_is_about_several_machines_is_refused_where_there_is_one(
    run: Runner, spreading: FakeApp, idle: tuple[str, ...]
) -> None:
    is_refused(run("serve", "tiny", *idle), f"{idle[0]} is about several machines", "--workers")


def test_a_hosts_file_that_is_not_there_or_wrong_is_named(
    run: Runner, spreading: FakeApp, tmp_path: Path
) -> None:
    is_refused(run("serve", "tiny", "--hosts", str(tmp_path / "none")), "cannot be read", "")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    is_refused(run("serve", "tiny", "--hosts", str(tmp_path / "bytes")), "cannot be read", "")
    (tmp_path / "wrong").write_text("[[host]]\nnam = 'x'", encoding="utf-8")
    is_refused(run("serve", "tiny", "--hosts", str(tmp_path / "wrong")), "'nam'", "Known are")


@pytest.mark.parametrize(
    "wrong", [("--workers", "-1"), ("--workers", "65"), ("--cluster-port", "65536")], ids=str
)
def test_numbers_out_of_range_are_refused(
    run: Runner, spreading: FakeApp, wrong: tuple[str, str]
) -> None:
    is_refused(run("serve", "tiny", *wrong), wrong[0], "")
