"""Ours beside llama.cpp: one model on one core, and on two hosts of one core each.

    make bench-rivals

The 1.1B shape in 4 bit (Q4_0, random weights), hosts as network namespaces at 1 Gbit/s. llama.cpp
is built from the source distribution of the package ``llama-cpp-python`` into ``.rivals/`` the
first time (about eight minutes). ``--dllama PROGRAM MODEL TOKENIZER`` adds distributed-llama with a
model of the same shape in its own format. Engines take turns, so that what else the machine does
meets all of them; each figure is the median of the rounds. ``ratio`` and ``prefill_ratio`` are ours
over the best of the others; what is predicted is the cost model's, from what the ranks measured of
their device and link at their start, ``of_predicted`` the part of it that decoding reaches.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import netns
import shapes
from ranks import alike, running
from table import Row, report

from banyan.core.layout import LinkFacts, Workload
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.config import EngineConfig
from banyan.engine.formation import Communication
from banyan.plan.forecast import forecast
from banyan.plan.shares import tensor_parallel

RIVALS = Path(".rivals")
PACKAGE = "llama-cpp-python"
RPC_PORT = 50_052
WORKER_PORT = 9_998
SERVER_START_S = 2.0
RUN_TIMEOUT_S = 600.0
PROMPT, GENERATED = 256, 64
ALONE = LinkFacts(latency_s=0.0, bandwidth=1e12)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Tokens per second of one engine."""

    engine: str
    prefill: float
    decode: float
    predicted: Rates | None = None


Engine = Callable[[Sequence[netns.Host]], Rates]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="not used here")
    parser.add_argument("--data", type=Path, help="not used here")
    parser.add_argument("--full", action="store_true", help="more rounds")
    parser.add_argument("--dllama", nargs=3, type=Path, metavar=("PROGRAM", "MODEL", "TOKENIZER"))
    options = parser.parse_args()
    if not netns.available():
        raise SystemExit("bench-rivals needs root and iproute2 (network namespaces).")
    binaries = built()
    model = shapes.gguf_file(shapes.B1).resolve()
    engines: list[Engine] = [lambda hosts: llama(binaries, model, hosts)]
    if options.dllama is not None:
        engines.append(lambda hosts: dllama(*options.dllama, hosts))
    engines.append(lambda hosts: banyan(model, hosts))
    rounds = 5 if options.full else 3
    rows: list[Row] = []
    with netns.hosts(2) as hosts:
        for count in (1, 2):
            taken = [[engine(hosts[:count]) for engine in engines] for _ in range(rounds)]
            rows += _compared([_median(found) for found in zip(*taken, strict=True)], count)
    report("rivals", rows)


def built() -> Path:
    """The folder of llama.cpp's programs; builds them if they are not there."""
    binaries = RIVALS / "build" / "bin"
    if (binaries / "llama-bench").exists() and (binaries / "ggml-rpc-server").exists():
        return binaries.resolve()
    if shutil.which("cmake") is None:
        raise SystemExit("Building llama.cpp needs cmake and a C++ compiler.")
    RIVALS.mkdir(exist_ok=True)
    print("Building llama.cpp, once; this takes about eight minutes.", flush=True)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*pip, "-d", str(RIVALS), PACKAGE], check=True)
    archive = next(RIVALS.glob("llama_cpp_python-*.tar.gz"))
    with tarfile.open(archive) as files:
        files.extractall(RIVALS, filter="data")
    source = next(RIVALS.glob("llama_cpp_python-*/")) / "vendor" / "llama.cpp"
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_RPC=ON", "-DLLAMA_CURL=OFF"]
    options += [f"-DLLAMA_BUILD_{part}=OFF" for part in ("TESTS", "EXAMPLES", "SERVER")]
    build = str(RIVALS / "build")
    subprocess.run(["cmake", "-S", str(source), "-B", build, *options], check=True)
    targets = ["--target", "llama-bench", "ggml-rpc-server"]
    subprocess.run(["cmake", "--build", build, "-j2", *targets], check=True)
    return binaries.resolve()


def llama(binaries: Path, model: Path, hosts: Sequence[netns.Host]) -> Rates:
    """llama-bench on the first host; with a second one half of the layers runs there over RPC."""
    command = [str(binaries / "llama-bench"), "-m", str(model), "-t", "1", "-r", "1"]
    command += ["-p", str(PROMPT), "-n", str(GENERATED), "-o", "json"]
    server = [str(binaries / "ggml-rpc-server"), "-p", str(RPC_PORT), "-t", "1"]
    if len(hosts) > 1:
        server += ["-H", hosts[1].address]
        command += ["--rpc", f"{hosts[1].address}:{RPC_PORT}", "-ngl", "99", "-ts", "1/1"]
    text = _said(command, server, hosts)
    entries = json.loads(text[text.index("[\n") :])
    rates = {bool(entry["n_gen"]): float(entry["avg_ts"]) for entry in entries}
    name = "llama.cpp" if len(hosts) == 1 else "llama.cpp RPC"
    return Rates(engine=name, prefill=rates[False], decode=rates[True])


def dllama(program: Path, model: Path, tokenizer: Path, hosts: Sequence[netns.Host]) -> Rates:
    """distributed-llama: the root on the first host, its worker on the second. Its prompt is words,
    so the number of tokens depends on the tokenizer."""
    threads = ["--nthreads", "1"]
    command = [str(program), "inference", "--model", str(model), "--tokenizer", str(tokenizer)]
    command += ["--prompt", "word " * (PROMPT // 2), "--steps", str(PROMPT + GENERATED)]
    command += ["--buffer-float-type", "q80", *threads]
    worker = [str(program), "worker", "--port", str(WORKER_PORT), *threads]
    if len(hosts) > 1:
        command += ["--workers", f"{hosts[1].address}:{WORKER_PORT}"]
    text = _said(command, worker, hosts)
    rates = [float(rate) for rate in re.findall(r"tokens/s: ([\d.]+)", text)]
    if len(rates) != 2:  # one of the prompt, one of what was generated
        raise SystemExit(f"distributed-llama said nothing of its speed:\n{text[-500:]}")
    return Rates(engine="distributed-llama", prefill=rates[0], decode=rates[1])


def _said(command: list[str], server: list[str], hosts: Sequence[netns.Host]) -> str:
    """What the command prints on the first host while the server runs on the second, if any."""
    quiet, pipe = subprocess.DEVNULL, subprocess.PIPE
    serving = [
        host.popen(server, cpus=(number,), stdout=quiet, stderr=quiet)
        for number, host in enumerate(hosts)
        if number
    ]
    if serving:
        time.sleep(SERVER_START_S)
    try:
        process = hosts[0].popen(command, cpus=(0,), stdout=pipe, stderr=pipe)
        said, told = process.communicate(timeout=RUN_TIMEOUT_S)
    finally:
        for started in serving:
            started.kill()
            started.wait()
    if process.returncode:
        raise SystemExit(f"{command[0]} failed: {told.decode(errors='replace')[-500:]}")
    return said.decode(errors="replace")


def banyan(model: Path, hosts: Sequence[netns.Host]) -> Rates:
    """The engine's own ranks, one to a host, four-bit weights with a bf16 copy for prompts."""
    shape = open_checkpoint(model).config.shape
    layout = tensor_parallel(shape, [1.0] * len(hosts))
    config = EngineConfig(precision="packed", packed_copy=True, threads=1, kv_cache_bytes=64 << 20)
    ways = [Communication(algorithm="auto")]
    with running(hosts, 1, layout, model, config, ways=ways, cpus=lambda host: (host,)) as ranks:
        for prompt in (PROMPT, 1):
            ranks.step(way=0, prompt=prompt, batch=1)
        first = ranks.step(way=0, prompt=PROMPT, batch=1)
        began = time.perf_counter()
        for token in range(GENERATED):
            ranks.step(way=0, prompt=1, batch=1, context=PROMPT + token)
        seconds = (time.perf_counter() - began) / GENERATED
        facts = alike(ranks.facts, len(hosts), 1, ranks.links[0] if ranks.links else ALONE)
    workload = Workload(prompt=PROMPT, generate=GENERATED // 2, concurrency=1)
    price = forecast(shape, "packed+copy", layout, facts, workload)
    predicted = Rates(
        engine="cost model", prefill=PROMPT / price.prefill_s, decode=1 / price.decode_s
    )
    return Rates(engine="banyan", prefill=PROMPT / first, decode=1 / seconds, predicted=predicted)


def _median(found: Sequence[Rates]) -> Rates:
    """Of one engine's rounds, each figure by itself."""
    predicted = [rates.predicted for rates in found if rates.predicted is not None]
    return Rates(
        engine=found[0].engine,
        prefill=statistics.median(rates.prefill for rates in found),
        decode=statistics.median(rates.decode for rates in found),
        predicted=_median(predicted) if predicted else None,
    )


def _compared(engines: Sequence[Rates], hosts: int) -> list[Row]:
    """Rows of all engines; the last is ours and has the ratios to the best of the others."""
    *others, ours = engines
    best = Rates(
        engine="best of the others",
        prefill=max(rates.prefill for rates in others),
        decode=max(rates.decode for rates in others),
    )
    return [*(_row(rates, hosts, None) for rates in others), _row(ours, hosts, best)]


def _row(rates: Rates, hosts: int, best: Rates | None) -> Row:
    predicted = rates.predicted
    return {
        "engine": rates.engine,
        "hosts": hosts,
        "threads": 1,
        "prefill_tokens_per_s": rates.prefill,
        "prefill_ratio": rates.prefill / best.prefill if best else None,
        "predicted_prefill": predicted.prefill if predicted else None,
        "decode_tokens_per_s": rates.decode,
        "ratio": rates.decode / best.decode if best else None,
        "predicted_decode": predicted.decode if predicted else None,
        "of_predicted": rates.decode / predicted.decode if predicted else None,
    }


if __name__ == "__main__":
    main()
