"""An engine over two hosts, with true ranks: it answers, says why it is down, and comes back."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.engine.cluster.toys import TOKEN, Toys, wait_until
from tests.engine.toy import write_toy

from banyan.core.context import Context
from banyan.core.errors import (
    BanyanError,
    Cancelled,
    CheckpointInvalid,
    ClusterDown,
    DeadlineExceeded,
)
from banyan.core.events import TokenReady
from banyan.core.types import Sampling
from banyan.engine.cluster import process
from banyan.engine.cluster.control import CONTROL, report_of
from banyan.engine.cluster.frames import Hello, frame
from banyan.engine.cluster.head import Head
from banyan.engine.cluster.head_settings import HeadSettings
from banyan.engine.cluster.replicas import Replicas
from banyan.engine.comm import handshake
from banyan.engine.config import EngineConfig
from banyan.engine.process import EngineProcess
from banyan.engine.wire import Channel
from banyan.plan.shares import tensor_parallel

CONFIG = EngineConfig(precision="fp32", threads=1, kv_cache_bytes=64 << 20)
GREEDY = Sampling(temperature=0, max_tokens=12)
ENDLESS = Sampling(seed=3)
LOAD_S = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    """The head and one more host, of one true rank each, that form again without a pause."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "AGAIN_S", 0.1)
        yield from two_hosts(tmp_path_factory)


def two_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    found = Toys(tmp_path_factory.mktemp("cluster"), hosts=1)
    write_toy(found.path, context=100_000)
    found.join("attic", find=lambda name: found.path)
    yield found
    found.close()


@pytest.fixture(scope="module")
def engine(cluster: Toys) -> Iterator[Replicas]:
    engine = Replicas(cluster.path, "toy", CONFIG, cluster.head)
    engine.wait_ready(Context(deadline=time.monotonic() + LOAD_S))
    yield engine
    engine.close()


def write(engine: EngineProcess | Replicas, sampling: Sampling = GREEDY) -> str:
    events = engine.complete("abc", sampling, Context())
    return "".join(event.text for event in events if isinstance(event, TokenReady))


class Writing(threading.Thread):
    """A request that would go on for minutes."""

    def __init__(self, engine: Replicas) -> None:
        super().__init__(daemon=True)
        self._engine = engine
        self.began = threading.Event()
        self.error: BanyanError | None = None
        self.start()
        assert self.began.wait(LOAD_S)

    def run(self) -> None:
        try:
            for _ in self._engine.complete("abc", ENDLESS, Context()):
                self.began.set()
        except BanyanError as error:
            self.error = error


def test_two_hosts_write_what_one_writes(engine: Replicas) -> None:
    alone = EngineProcess(engine.path, CONFIG)
    try:
        assert write(engine) == write(alone)
    finally:
        alone.close()


def test_the_status_tells_of_rank_0_too(engine: Replicas, cluster: Toys) -> None:
    status = cluster.head.status()
    assert (status.state, status.layout) == ("ready", "tp2")
    (own,) = status.hosts[0].ranks
    assert own.state == "ready"
    assert own.rss_bytes > 10 << 20


def test_rank_0_tells_what_it_measured_and_picked_and_how_fast_it_writes(
    engine: Replicas,
) -> None:
    write(engine)
    wait_until(lambda: engine.stats is not None and engine.stats.decode_tokens_per_s > 0)
    stats = engine.stats
    assert stats is not None
    assert [link.hosts for link in stats.links] == [(0, 1), (1, 0)]
    assert all(link.bandwidth > 0 and link.latency_s >= 0 for link in stats.links)
    assert [choice.size_bytes for choice in stats.choices] == sorted(
        choice.size_bytes for choice in stats.choices
    )
    assert all(choice.measured_s > 0 for choice in stats.choices)


@pytest.mark.parametrize("victim", [1, pytest.param(0, marks=pytest.mark.long)])
def test_a_killed_rank_ends_requests_with_the_cause_and_the_group_forms_again(
    engine: Replicas, cluster: Toys, victim: int
) -> None:
    writing = Writing(engine)
    os.kill(cluster.rank_pids()[victim], signal.SIGKILL)
    writing.join(10)
    assert isinstance(writing.error, ClusterDown)
    assert f"Rank {victim} on host {('head', 'attic')[victim]}" in str(writing.error)
    assert "SIGKILL" in str(writing.error)
    assert "Retry" in writing.error.remedy
    with pytest.raises(ClusterDown, match=f"Rank {victim} on host"):
        write(engine)
    assert engine.state == "loading"
    wait_until(lambda: engine.state == "ready", LOAD_S)
    assert write(engine)
    assert cluster.replica.cause == ""


@pytest.mark.long
@pytest.mark.parametrize("victim", [1, 0])
def test_a_stopped_rank_is_named_and_replaced(engine: Replicas, cluster: Toys, victim: int) -> None:
    writing = Writing(engine)
    os.kill(cluster.rank_pids()[victim], signal.SIGSTOP)
    began = time.monotonic()
    writing.join(20)
    assert time.monotonic() - began < 8
    assert isinstance(writing.error, ClusterDown)
    assert f"Rank {victim} on host" in str(writing.error)
    assert "stopped or stuck" in str(writing.error)
    wait_until(lambda: engine.state == "ready", LOAD_S)
    assert write(engine)


def test_while_hosts_are_missing_calls_are_refused_at_once(tmp_path: Path) -> None:
    with_nobody = lonely(tmp_path, write_toy(tmp_path / "toy"), hosts=2)
    try:
        with_nobody.start()
        with pytest.raises(ClusterDown, match="2 of its hosts have yet to join"):
            write(with_nobody)
        context = Context()
        context.cancel.set()
        with pytest.raises(Cancelled):
            with_nobody.wait_ready(context)
    finally:
        with_nobody.close()


def test_a_host_that_goes_at_once_is_awaited_and_the_operator_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    found = lonely(tmp_path, write_toy(tmp_path / "toy"), hosts=1, on_event=told.append)
    try:
        found.start()
        connection = socket.create_connection(("127.0.0.1", found._head.port))
        with connection:
            handshake.connect(connection, TOKEN.encode(), {"purpose": CONTROL})
            report = report_of("attic", 1, "cpu")
            channel = Channel(connection)
            channel.send(frame("hello", Hello(report=report)))
            assert any(message["op"] == "prepare" for message in channel)
        with pytest.raises(DeadlineExceeded):
            found.wait_ready(Context(deadline=time.monotonic() + 1.0))
        wait_until(lambda: told)
        assert "Host attic" in told[0]
        assert "1 of its hosts have yet to join" in told[0]
    finally:
        found.close()


def test_a_model_that_no_rank_can_load_is_an_error_of_its_own(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    found = lonely(tmp_path, broken, hosts=0)
    try:
        with pytest.raises(CheckpointInvalid):
            found.wait_ready(Context(deadline=time.monotonic() + LOAD_S))
        assert "holds neither" in found._head.status().cause
    finally:
        found.close()


def lonely(
    folder: Path, path: Path, hosts: int, on_event: Callable[[str], None] = lambda event: None
) -> Replicas:
    """An engine whose hosts do not come."""
    settings = HeadSettings(
        address="127.0.0.1", port=0, token=TOKEN, hosts=hosts, folder=folder / "head"
    )
    head = Head(settings, lambda shape, *_: [tensor_parallel(shape, [1.0])])
    return Replicas(path, "toy", CONFIG, head, on_event)
