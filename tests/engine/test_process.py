"""The engine's process: started on first use, killed, restarted, unloaded, never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tests.engine.toy import wait_until, write_toy

from banyan.core.context import Context
from banyan.core.errors import (
    Cancelled,
    CheckpointInvalid,
    DeadlineExceeded,
    EngineFailed,
)
from banyan.core.events import TokenReady
from banyan.core.types import Sampling
from banyan.engine.config import EngineConfig
from banyan.engine.process import EngineProcess

CONFIG = EngineConfig(precision="fp32", threads=1, kv_cache_bytes=1 << 20)
GREEDY = Sampling(temperature=0, max_tokens=8)
ENDLESS = Sampling(seed=3)


@pytest.fixture(scope="module")
def engine(toy: Path) -> Iterator[EngineProcess]:
    engine = EngineProcess(toy, CONFIG)
    yield engine
    engine.close()


def write(engine: EngineProcess, prompt: str = "abc", sampling: Sampling = GREEDY) -> str:
    events = engine.complete(prompt, sampling, Context())
    return "".join(event.text for event in events if isinstance(event, TokenReady))


def child_of(engine: EngineProcess) -> int:
    assert engine._link is not None
    return engine._link._process.pid


def test_nothing_is_started_before_the_first_use_and_that_loads_it(toy: Path) -> None:
    engine = EngineProcess(toy, CONFIG)
    assert (engine.state, engine.rss_bytes, engine.stats) == ("installed", 0, None)
    engine.start()
    assert engine.state == "loading"
    assert write(engine)
    assert engine.state == "ready"
    assert engine.rss_bytes > 10 << 20
    stats = engine.stats
    assert stats is not None
    assert stats.decode_tokens_per_s > 0
    engine.unload()
    assert (engine.state, engine.rss_bytes) == ("installed", 0)


def test_memory_against_a_budget_is_told_through_the_wire(toy: Path, tmp_path: Path) -> None:
    budget = replace(CONFIG, device_memory=1 << 40, staging=str(tmp_path))
    engine = EngineProcess(toy, budget)
    assert engine.memory_timeline == ()
    assert write(engine)
    stats = engine.stats
    assert stats is not None
    assert stats.memory is not None
    assert "2 of 2 layers stay" in stats.memory.choice
    assert {sample.layer for sample in engine.memory_timeline} == {0, 1}
    engine.close()


def test_many_requests_run_at_once_and_each_gets_its_own_answers(engine: EngineProcess) -> None:
    prompts = [f"prompt number {number}" for number in range(12)]
    alone = [write(engine, prompt) for prompt in prompts]
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(lambda prompt: write(engine, prompt), prompts)) == alone


def test_giving_up_crosses_the_wire(tmp_path: Path) -> None:
    roomy = EngineConfig(precision="fp32", threads=1, kv_cache_bytes=64 << 20)
    engine = EngineProcess(write_toy(tmp_path, context=100_000), roomy)
    events = engine.complete("abc", ENDLESS, Context())  # minutes of work, if it went on
    next(events)
    events.close()
    context = Context()
    events = engine.complete("abc", ENDLESS, context)
    next(events)
    context.cancel.set()
    with pytest.raises(Cancelled):
        list(events)

    def idle() -> bool:
        stats = engine.stats
        return stats is not None and stats.running == 0 and stats.pages_free == stats.pages_total

    wait_until(idle)
    engine.close()


def test_a_killed_process_fails_its_calls_and_the_next_one_restarts_it(
    engine: EngineProcess,
) -> None:
    expected = write(engine)
    events = engine.complete("abc", ENDLESS, Context())
    next(events)
    os.kill(child_of(engine), signal.SIGSTOP)  # so that it cannot finish first
    os.kill(child_of(engine), signal.SIGKILL)
    with pytest.raises(EngineFailed, match="SIGKILL"):
        list(events)
    wait_until(lambda: engine.state == "installed")
    assert write(engine) == expected


def test_waiting_for_the_model_ends_with_the_callers_patience(toy: Path) -> None:
    engine = EngineProcess(toy, CONFIG)
    context = Context(deadline=time.monotonic() + 0.05)
    with pytest.raises(DeadlineExceeded):
        list(engine.complete("abc", GREEDY, context))
    engine.unload()
    assert engine.state == "installed"


def test_an_error_of_loading_arrives_as_itself(tmp_path: Path) -> None:
    folder = write_toy(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    engine = EngineProcess(folder, CONFIG)
    with pytest.raises(CheckpointInvalid, match="safetensors"):
        write(engine)
    assert engine.state == "installed"
    engine.close()


def test_a_file_in_the_users_folder_is_never_taken_for_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    engine = EngineProcess(tmp_path / "none.gguf", CONFIG)
    with pytest.raises(CheckpointInvalid):
        write(engine)
    engine.close()


def test_an_unused_model_is_unloaded_and_loads_again(toy: Path) -> None:
    engine = EngineProcess(toy, CONFIG, idle_unload_s=0.2)
    expected = write(engine)

    def is_unloaded_though_watched() -> bool:
        _ = engine.stats  # to look on is not to use
        return engine.state == "installed"

    wait_until(is_unloaded_though_watched)
    assert write(engine) == expected
    engine.close()


def test_unloading_fails_what_is_under_way(engine: EngineProcess) -> None:
    events = engine.complete("abc", ENDLESS, Context())
    next(events)
    engine.unload()
    with pytest.raises(EngineFailed, match="unloaded"):
        list(events)


PARENT = """
    import json, sys, time
    from pathlib import Path
    from banyan.core.context import Context
    from banyan.engine.config import EngineConfig
    from banyan.engine.process import EngineProcess

    engine = EngineProcess(Path(sys.argv[1]), EngineConfig(threads=1, kv_cache_bytes=1 << 20))
    tokens = engine.count("abc")
    loaded = [name for name in ("torch", "tokenizers", "jinja2") if name in sys.modules]
    print(json.dumps([engine._link._process.pid, tokens, loaded]), flush=True)
    time.sleep(60)
"""


def test_the_process_dies_with_its_parent_which_never_loads_torch(toy: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), str(toy)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid, tokens, loaded = json.loads(parent.stdout.readline())
        assert (tokens, loaded) == (3, [])
        child = psutil.Process(pid)
        assert child.is_running()
        parent.kill()
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
