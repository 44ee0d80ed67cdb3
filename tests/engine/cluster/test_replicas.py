"""Several copies of a model answer side by side, and one that dies takes only its own requests."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from tests.engine.cluster.toys import CONFIG, Toys, toys, use_toy_ranks, wait_until
from tests.engine.comm.certificates import pem

from banyan.core.context import Context
from banyan.core.errors import BanyanError, ClusterDown, DeadlineExceeded, PlanImpossible
from banyan.core.events import TokenReady
from banyan.core.types import Sampling
from banyan.engine.cluster import process
from banyan.engine.cluster.replicas import Replicas

LOAD_S = 40.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    """The head with two ranks, attic with two and cellar with one: five replicas, of which three
    have their rank 0 on another host."""
    with pytest.MonkeyPatch.context() as patch:
        use_toy_ranks(patch)
        patch.setattr(process, "AGAIN_S", 0.1)
        folder = tmp_path_factory.mktemp("replicas")
        with toys(folder, hosts=2, local_ranks=2, replicas=5) as found:
            found.join("attic", ranks=2)
            wait_until(lambda: found.head.missing == 1)  # the first to come is dealt first
            found.join("cellar")
            yield found


@pytest.fixture(scope="module")
def engine(cluster: Toys) -> Iterator[Replicas]:
    engine = Replicas(cluster.path, "toy", CONFIG, cluster.head, cluster.events.append)
    engine.wait_ready(Context(deadline=time.monotonic() + LOAD_S))
    yield engine
    engine.close()


@pytest.fixture(autouse=True)
def _all_run(engine: Replicas) -> None:
    wait_until(lambda: all(each.state == "ready" for each in engine.status().replicas), LOAD_S)


class Writing(threading.Thread):
    """A request that goes on until it is given up."""

    def __init__(self, engine: Replicas) -> None:
        super().__init__(daemon=True)
        self.context = Context()
        self.error: BanyanError | None = None
        self._engine = engine
        self._began = threading.Event()
        self.start()
        assert self._began.wait(10)

    def run(self) -> None:
        try:
            for _ in self._engine.complete("endless", Sampling(), self.context):
                self._began.set()
        except BanyanError as error:
            self.error = error

    def close(self) -> None:
        self.context.cancel.set()
        self.join(10)


def write(engine: Replicas, prompt: str = "a few words") -> str:
    events = engine.complete(prompt, Sampling(max_tokens=8), Context())
    return "".join(event.text for event in events if isinstance(event, TokenReady))


def group_of(cluster: Toys, number: int) -> str:
    group = cluster.head.replicas[number].group
    return "" if group is None else group.id


def outstanding(engine: Replicas) -> list[bool]:
    return [engine._routing.outstanding(number) > 0 for number in range(5)]


def test_every_replica_answers_for_itself_wherever_its_rank_0_is(
    cluster: Toys, engine: Replicas
) -> None:
    with ExitStack() as busy:
        met = set()
        for _ in range(6):  # cellar's one rank has all its cores: it is given two
            met.add(write(engine).split()[-1])
            busy.enter_context(closing(Writing(engine)))  # now that one is busier than the others
        assert met == {group_of(cluster, number) for number in range(5)}
        assert outstanding(engine) == [True] * 5
    assert outstanding(engine) == [False] * 5


def test_the_status_tells_every_replica_with_its_hosts_and_ranks(engine: Replicas) -> None:
    status = engine.status()
    assert status.state == "ready"
    assert status.layout == "5 replicas"
    assert [each.layout for each in status.replicas] == ["one rank"] * 5
    assert [each.hosts for each in status.replicas] == [(0,), (0,), (1,), (1,), (2,)]
    ranks = {host.name: [rank.replica for rank in host.ranks] for host in status.hosts}
    assert ranks == {"head": [0, 1], "attic": [2, 3], "cellar": [4]}
    assert all(rank.rank == 0 and rank.pid for host in status.hosts for rank in host.ranks)


@pytest.mark.parametrize("victim", [1, 3])
def test_a_replica_that_dies_takes_its_own_requests_with_it_and_comes_back(
    cluster: Toys, engine: Replicas, victim: int
) -> None:
    others = [cluster.rank_pids(number) for number in range(5) if number != victim]
    with ExitStack() as busy:
        writing = [busy.enter_context(closing(Writing(engine))) for _ in range(6)]
        os.kill(cluster.rank_pids(victim)[0], signal.SIGKILL)
        wait_until(lambda: any(one.error for one in writing))
        (error,) = [one.error for one in writing if one.error]
        assert isinstance(error, ClusterDown)
        host = "head" if victim < 2 else "attic"
        assert f"Rank 0 of replica {victim} on host {host}" in str(error)
        assert "SIGKILL" in str(error)
        for _ in range(4):
            assert write(engine)
        wait_until(lambda: engine.status().replicas[victim].state == "ready", LOAD_S)
        assert not any(one.error for one in writing if one.error is not error)
    assert [cluster.rank_pids(number) for number in range(5) if number != victim] == others
    assert f"The replica {victim} is ready." in cluster.events


def test_a_host_that_leaves_takes_its_replicas_and_is_awaited_by_name(
    cluster: Toys, engine: Replicas
) -> None:
    cluster.leave("cellar")
    wait_until(lambda: engine.status().replicas[4].state != "ready")
    assert [each.state for each in engine.status().replicas[:4]] == ["ready"] * 4
    assert engine.status().state == "ready"
    assert "Host cellar" in engine.status().cause
    assert write(engine)
    cluster.join("garage")
    wait_until(lambda: cluster.refusals)
    assert "No host named 'garage' is awaited" in str(cluster.refusals[0])
    cluster.join("cellar", ranks=3)
    wait_until(lambda: len(cluster.refusals) > 1)
    assert "'cellar' was dealt 1 ranks; it offers 3" in str(cluster.refusals[1])
    cluster.join("cellar")
    wait_until(lambda: engine.status().replicas[4].state == "ready", LOAD_S)
    assert engine.status().cause == ""


def test_ranks_that_cannot_be_dealt_are_told_and_calls_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_toy_ranks(monkeypatch)
    with toys(tmp_path, hosts=0, local_ranks=4, replicas=3) as three:
        engine = Replicas(three.path, "toy", CONFIG, three.head, three.events.append)
        with pytest.raises(PlanImpossible, match="layouts take 3 ranks; the hosts offer 4"):
            engine.wait_ready(Context(deadline=time.monotonic() + LOAD_S))
        with pytest.raises(ClusterDown, match="the hosts offer 4"):
            write(engine)
        assert engine.status().state == "down"
        engine.close()


def test_while_hosts_are_missing_nothing_is_dealt_and_calls_say_so(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=2, replicas=3) as three:
        engine = Replicas(three.path, "toy", CONFIG, three.head)
        with pytest.raises(ClusterDown, match="2 of its hosts have yet to join"):
            write(engine)
        with pytest.raises(DeadlineExceeded):
            engine.wait_ready(Context(deadline=time.monotonic() + 0.2))
        assert engine.status().state == "forming"
        engine.close()


def test_calls_and_the_survey_cross_hosts_encrypted_where_all_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_toy_ranks(monkeypatch)
    with toys(tmp_path, hosts=1, replicas=2, pem=pem()) as two:
        two.join("attic", tls=True)
        engine = Replicas(two.path, "toy", CONFIG, two.head)
        engine.wait_ready(Context(deadline=time.monotonic() + LOAD_S))
        with closing(Writing(engine)):
            assert write(engine).split()[-1] in (group_of(two, 0), group_of(two, 1))
            with closing(Writing(engine)):
                assert [engine._routing.outstanding(number) > 0 for number in (0, 1)] == [True] * 2
        facts = engine.status().facts
        assert facts is not None
        assert facts.links[0][1].is_measured
        engine.close()
