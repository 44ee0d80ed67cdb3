"""True replicas: what one engine writes, wherever their ranks are."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.engine.cluster.toys import toys, wait_until
from tests.engine.toy import write_toy

from banyan.core.context import Context
from banyan.core.events import TokenReady
from banyan.core.types import Sampling
from banyan.engine.cluster.replicas import Replicas
from banyan.engine.cluster.routing import Work
from banyan.engine.config import EngineConfig
from banyan.engine.process import EngineProcess

LOAD_S = 60.0


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
