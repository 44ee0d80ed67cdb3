"""Several hosts as one: what their owner is told, what is kept and started, and true replicas,
which write what one engine writes wherever their ranks are."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.engine.cluster.toys import toys, wait_until
from tests.engine.comm.certificates import pem
from tests.engine.toy import write_toy

from banyan.core.context import Context
from banyan.core.errors import HostUnreachable, InputError
from banyan.core.events import TokenReady
from banyan.core.layout import ClusterOptions
from banyan.core.types import Sampling
from banyan.engine.cluster import cluster as module
from banyan.engine.cluster.cluster import Cluster
from banyan.engine.cluster.replicas import Replicas
from banyan.engine.cluster.routing import Work
from banyan.engine.config import EngineConfig
from banyan.engine.process import EngineProcess
from banyan.plan.hosts import HostSpec

LOAD_S = 60.0
WAIT_S = 20.0


def greedy(engine: Replicas | EngineProcess, prompt: str) -> str:
    events = engine.complete(prompt, Sampling(temperature=0, max_tokens=12), Context())
    return "".join(event.text for event in events if isinstance(event, TokenReady))


def check_true_replicas(folder: Path, checkpoint: Path, config: EngineConfig) -> None:
    """A replica on the head, and one on a host that has no copy of the model."""
    prompts = ["The capital of France is", "One two three"]
    alone = EngineProcess(checkpoint, config)
    expected = [greedy(alone, prompt) for prompt in prompts]
    alone.close()
    with toys(folder, hosts=1, replicas=2) as two:
        two.join("attic")
        engine = Replicas(checkpoint, "toy", config, two.head)
        engine.wait_ready(Context(deadline=time.monotonic() + LOAD_S))
        for number in (0, 1):
            with engine._routing.route(Work(1000, 0), [1 - number]):  # the other one is busy
                assert [greedy(engine, prompt) for prompt in prompts] == expected
                assert engine.count("some words") > 0
        wait_until(lambda: all(each.decode_tokens_per_s for each in engine.status().replicas))
        os.kill(two.rank_pids(1)[0], signal.SIGKILL)
        wait_until(lambda: engine.status().replicas[1].state != "ready")
        assert greedy(engine, prompts[0]) == expected[0]
        wait_until(lambda: engine.status().replicas[1].state == "ready", LOAD_S)
        engine.close()


def test_true_replicas_write_what_one_engine_writes_wherever_they_are(tmp_path: Path) -> None:
    config = EngineConfig(precision="fp32", threads=1, kv_cache_bytes=8 << 20)
    check_true_replicas(tmp_path, write_toy(tmp_path / "toy"), config)


@pytest.mark.long
def test_replicas_of_the_packaged_model_write_what_one_engine_writes(
    tmp_path: Path, models_home: Path
) -> None:
    config = EngineConfig(precision="fp32", threads=1, kv_cache_bytes=64 << 20)
    path = models_home / "models" / "smollm2-135m-instruct"
    check_true_replicas(tmp_path, path, config)


@pytest.fixture(autouse=True)
def _nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "own_device", lambda *_: None)


@contextmanager
def cluster(folder: Path, events: list[str] | None = None, **options: object) -> Iterator[Cluster]:
    given: dict[str, object] = {"workers": 1, "address": "127.0.0.1"}
    found = Cluster(
        write_toy(folder / "toy"),
        "toy",
        EngineConfig(precision="fp32", threads=1),
        ClusterOptions(**{**given, **options}),  # type: ignore[arg-type]  # checked at run time
        folder / "cluster",
        (events if events is not None else []).append,
    )
    try:
        yield found
    finally:
        found.close()


def fake_ssh(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bin").mkdir()
    ssh = folder / "bin" / "ssh"
    ssh.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"layout": "sideways"}, "'sideways' is not a layout"),
        ({"algorithm": "gossip"}, "'gossip' is not an? algorithm"),
        ({"payload": "int2"}, "'int2' is not a payload"),
        ({"workers": -1}, "at least one rank here"),
        ({"local_ranks": 0}, "at least one rank here"),
        ({"address": "0.0.0.0"}, "cannot reach this one"),
    ],
    ids=str,
)
def test_options_that_are_none_are_refused_before_anything_listens(
    tmp_path: Path, wrong: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words), cluster(tmp_path, **wrong):
        pass


def test_the_token_is_the_one_given_or_the_same_at_each_start(tmp_path: Path) -> None:
    with cluster(tmp_path, token="mine") as found:
        assert found.token == "mine"
    with cluster(tmp_path) as found:
        first = found.token
    with cluster(tmp_path) as found:
        assert found.token == first != "mine"


def test_the_status_says_whether_what_crosses_hosts_is_encrypted(tmp_path: Path) -> None:
    pem()  # or skip
    with cluster(tmp_path, tls=True) as found:
        assert found.status().tls
        assert found.status().state == "forming"
    with cluster(tmp_path) as found:
        assert not found.status().tls


def test_a_host_that_ssh_cannot_reach_ends_the_wait_with_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ssh(tmp_path, "echo 'Host key verification failed.'; exit 255", monkeypatch)
    events: list[str] = []
    with cluster(tmp_path, events) as found:
        found.start_hosts([HostSpec(name="attic", ssh="me@attic"), HostSpec(name="cellar")])
        with pytest.raises(HostUnreachable, match="could not reach attic") as refused:
            found.wait_ready(Context(deadline=time.monotonic() + WAIT_S))
    assert "ssh me@attic true" in refused.value.remedy
    assert "Starting attic over ssh." in events
    assert not [event for event in events if "cellar" in event], "it is awaited, not started"


def test_closing_hangs_up_on_all_hosts_that_were_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ssh(tmp_path, "read token; echo here; read rest; echo left", monkeypatch)
    events: list[str] = []
    names = ["attic", "cellar"]
    with cluster(tmp_path, events, workers=2) as found:
        found.start_hosts([HostSpec(name=name, ssh=f"me@{name}") for name in names])
        wait_until(lambda: all(f"{name}: here" in events for name in names))
    wait_until(lambda: all(f"{name}: left" in events for name in names))
