"""How well weights stream under a budget: bytes per second against the link's own, and the peak.

    make bench-stream

Random weights of the 1.1B shape, from the disk into memory, in bf16 and in four bits. Each row is a
process of its own; the streaming ones run in a memory control group whose limit is the budget, so
that a byte too much would end them. Steps and plain reads of the same layers into the same kind of
memory take turns, and medians are compared: ``of_copy`` is the share of the disk's rate that
decoding gets. Reads go past the page cache. ``--full`` adds larger batches. Control groups need
root; without them the peak is the process's own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import shapes
from ranks import make_batch
from table import Row, report

from banyan.core.layout import from_json
from banyan.engine.child import SPIN_COUNT
from banyan.engine.config import EngineConfig, Precision
from banyan.engine.stream.direct import DirectFile, aligned, bytes_of
from banyan.engine.stream.peak import GROUPS, OWN, measured_peak
from banyan.engine.stream.staging import Staging

MIB = 1 << 20
PROMPT = 128
ROUNDS = 7
STEP_ROWS = 512
PREFILLS = 3
STEPS = 3
CHUNK = 16 * MIB
STAGING = shapes.FOLDER / "staging"


@dataclass(frozen=True, kw_only=True)
class Case:
    """``budget`` 0: everything resident."""

    precision: Precision
    batch: int
    budget: int
    rounds: int = ROUNDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="not used here")
    parser.add_argument("--data", type=Path, help="not used here")
    parser.add_argument("--full", action="store_true", help="also batches of 8 and 32")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(from_json(Case, json.loads(options.case)))))
        return
    shapes.folder(shapes.B1)
    shapes.gguf_file(shapes.B1)
    report("stream", [row for case in cases(full=options.full) for row in run(case)])


def cases(*, full: bool) -> list[Case]:
    batches = (1, 8, 32) if full else (1, 8)
    budgets: dict[Precision, tuple[int, ...]] = {
        "bf16": (0, 1280 * MIB, 1792 * MIB),
        "packed": (0, 832 * MIB),
    }
    return [
        Case(precision=precision, batch=batch, budget=budget)
        for precision, limits in budgets.items()
        for batch in batches
        for budget in limits
    ]


def run(case: Case) -> Iterator[Row]:
    """The case in a process of its own, in a group with its budget as the limit."""
    if case.budget:
        _child(replace(case, rounds=0))  # writes the staging file, outside of what is measured
    with control_group(case.budget) as group:
        yield _child(case, group)


def _child(case: Case, group: Path | None = None) -> Row:
    def enter() -> None:
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    command = [sys.executable, __file__, "--case", json.dumps(asdict(case))]
    done = subprocess.run(
        command,
        preexec_fn=enter,
        stdout=subprocess.PIPE,
        env={**os.environ, "GOMP_SPINCOUNT": SPIN_COUNT},
        check=True,
    )
    row: Row = json.loads(done.stdout)
    return row


@contextmanager
def control_group(limit: int) -> Iterator[Path | None]:
    """A memory control group (v1, or v2 where its controller is enabled); None where there is none
    to be had."""
    own = next((line for line in OWN.read_text().splitlines() if ":memory:" in line), "")
    parent = GROUPS / "memory" / own.rpartition(":")[2].lstrip("/") if own else GROUPS
    try:
        group = Path(tempfile.mkdtemp(prefix="banyan-", dir=parent))
    except OSError:
        group = None
    if group is None or not limit:
        yield None
    else:
        (group / ("memory.limit_in_bytes" if own else "memory.max")).write_text(str(limit))
        yield group
    if group is not None:
        group.rmdir()


@dataclass(frozen=True, kw_only=True)
class Times:
    """Medians; ``copy`` in bytes per second, None where nothing streams."""

    ttft_s: float
    step_s: float
    copy: float | None


def measure(case: Case) -> dict[str, Any]:
    """One row, in this process; nothing but the staging file where no rounds are asked for."""
    from banyan.engine.model import load
    from banyan.engine.stream.streamed import StreamedWeights

    config = EngineConfig(
        precision=case.precision,
        device_memory=case.budget,
        staging=str(STAGING),
        kv_cache_bytes=128 * MIB,
        max_sequences=case.batch,
        max_batch_tokens=STEP_ROWS,
    ).resolve()
    path = shapes.folder(shapes.B1) if case.precision == "bf16" else shapes.gguf_file(shapes.B1)
    model = load(path, config)
    if not case.rounds:
        model.close()
        return {}
    streamed = model.weights if isinstance(model.weights, StreamedWeights) else None
    passing = 0 if streamed is None else streamed.fit.streamed_bytes
    times = timed(model, config, case, streamed.staging if streamed and passing else None)
    rate = passing / times.step_s
    return {
        "device": "cpu",
        "model": f"1.1b {case.precision}",
        "batch": case.batch,
        "mode": "stream" if passing else "resident",
        "budget_bytes": case.budget or None,
        "peak_bytes": measured_peak().peak,
        "streamed_bytes": passing or None,
        "bytes_per_s": rate if passing else None,
        "copy_bytes_per_s": times.copy,
        "of_copy": rate / times.copy if times.copy else None,
        "ttft_s": times.ttft_s,
        "decode_tokens_per_s": case.batch / times.step_s,
    }


def timed(model: Any, config: EngineConfig, case: Case, staging: Staging | None) -> Times:
    """Prompts, then rounds of steps and plain reads in turn."""
    import torch

    from banyan.engine.runner import alone

    at_once = min(case.batch, STEP_ROWS // PROMPT)
    prompts = [make_batch(PROMPT, at_once, 0)] * -(-case.batch // at_once)
    step = make_batch(1, case.batch, PROMPT)
    with torch.inference_mode():
        runner = alone(model, config).runner

        def run(batches: Sequence[Any]) -> None:
            for batch in batches:
                runner.start(batch)()

        run([*prompts, step])
        first = [_seconds(lambda: run(prompts)) for _ in range(PREFILLS)]
        steps, copies = [], []
        for _ in range(case.rounds):
            steps.append(statistics.median(_seconds(lambda: run([step])) for _ in range(STEPS)))
            copies += [] if staging is None else [_copy_rate(staging)]
        runner.close()
    return Times(
        ttft_s=statistics.median(first),
        step_s=statistics.median(steps),
        copy=statistics.median(copies) if copies else None,
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _copy_rate(staging: Staging) -> float:
    """Bytes per second of reading the whole file and doing nothing else."""
    file, buffer = DirectFile(staging.path), bytes_of(aligned(CHUNK))
    end = staging.layers[-1].offset + staging.layers[-1].size_bytes
    offsets = range(0, end, CHUNK)
    seconds = _seconds(lambda: [file.read_into(buffer, offset) for offset in offsets])
    file.close()
    return end / seconds


if __name__ == "__main__":
    main()
