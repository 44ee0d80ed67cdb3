"""Ours beside llama.cpp: one model on one core, and on two hosts of one core each.

    make bench-rivals

The 1.1B shape in 4 bit (Q4_0, random weights), hosts as network namespaces at 1 Gbit/s. llama.cpp
is built from the source distribution of the package ``llama-cpp-python`` into ``.rivals/`` the
first time (about eight minutes); ``--dllama PATH`` adds distributed-llama. ``predicted`` is the
cost model's rate, from what the ranks measured of their devices at their start.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tarfile
import time
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
PROMPT, GENERATED = 256, 64
LINK = LinkFacts(latency_s=5e-5, bandwidth=1e9 / 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="not used here")
    parser.add_argument("--data", type=Path, help="not used here")
    parser.add_argument("--full", action="store_true", help="more repetitions")
    parser.add_argument("--dllama", type=Path, help="folder of a built distributed-llama")
    options = parser.parse_args()
    if not netns.available():
        raise SystemExit("bench-rivals needs root and iproute2 (network namespaces).")
    if options.dllama is not None:
        raise SystemExit("distributed-llama needs a model in its own format; not run here yet.")
    binaries = built()
    model = shapes.gguf_file(shapes.B1).resolve()
    runs = 5 if options.full else 3
    rows: list[Row] = []
    with netns.hosts(2) as hosts:
        for count in (1, 2):
            theirs = llama(binaries, model, hosts[:count], runs)
            ours = banyan(model, hosts[:count], runs)
            rows += [theirs, ours | {"ratio": _ratio(ours, theirs)}]
    report("rivals", rows)


def built() -> Path:
    """The folder of llama.cpp's programs; builds them if they are not there."""
    binaries = RIVALS / "build" / "bin"
    if (binaries / "llama-bench").exists() and (binaries / "ggml-rpc-server").exists():
        return binaries.resolve()
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


def llama(binaries: Path, model: Path, hosts: list[netns.Host], runs: int) -> dict[str, object]:
    """llama-bench on the first host; with a second one half of the layers runs there over RPC."""
    command = [str(binaries / "llama-bench"), "-m", str(model), "-t", "1", "-r", str(runs)]
    command += ["-p", str(PROMPT), "-n", str(GENERATED), "-o", "json"]
    server = None
    if len(hosts) > 1:
        address = [hosts[1].address, str(RPC_PORT)]
        start = [str(binaries / "ggml-rpc-server"), "-H", address[0], "-p", address[1], "-t", "1"]
        quiet = subprocess.DEVNULL
        server = hosts[1].popen(start, cpus=(1,), stdout=quiet, stderr=quiet)
        time.sleep(2)
        command += ["--rpc", ":".join(address), "-ngl", "99", "-ts", "1/1"]
    try:
        process = hosts[0].popen(command, cpus=(0,), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said, told = process.communicate(timeout=600)
    finally:
        if server is not None:
            server.kill()
            server.wait()
    if process.returncode:
        raise SystemExit(f"llama-bench failed: {told.decode(errors='replace')[-500:]}")
    text = said.decode()
    found = json.loads(text[re.search(r"^\[", text, re.M).start() :])  # type: ignore[union-attr]  # it prints a list
    rates = {bool(entry["n_gen"]): float(entry["avg_ts"]) for entry in found}
    name = "llama.cpp" if len(hosts) == 1 else "llama.cpp RPC"
    return _row(name, len(hosts), rates[False], rates[True], None)


def banyan(model: Path, hosts: list[netns.Host], runs: int) -> dict[str, object]:
    """The engine's own ranks, one to a host, four-bit weights with a bf16 copy for prompts."""
    shape = open_checkpoint(model).config.shape
    layout = tensor_parallel(shape, [1.0] * len(hosts))
    config = EngineConfig(precision="packed", packed_copy=True, threads=1, kv_cache_bytes=64 << 20)
    ways = [Communication(algorithm="auto")]
    with running(hosts, 1, layout, model, config, ways=ways, cpus=lambda host: (host,)) as ranks:
        for prompt in (PROMPT, 1):
            ranks.step(way=0, prompt=prompt, batch=1)
        first = min(ranks.step(way=0, prompt=PROMPT, batch=1) for _ in range(runs))
        began = time.perf_counter()
        for token in range(GENERATED):
            ranks.step(way=0, prompt=1, batch=1, context=PROMPT + token)
        seconds = (time.perf_counter() - began) / GENERATED
        facts = alike(ranks.facts, len(hosts), 1, LINK)
    workload = Workload(prompt=PROMPT, generate=GENERATED // 2, concurrency=1)
    predicted = forecast(shape, "packed+copy", layout, facts, workload)
    return _row("banyan", len(hosts), PROMPT / first, 1 / seconds, 1 / predicted.decode_s)


def _row(
    engine: str, hosts: int, prefill: float, decoding: float, predicted: float | None
) -> dict[str, object]:
    return {
        "engine": engine,
        "hosts": hosts,
        "threads": 1,
        "prefill_tokens_per_s": prefill,
        "decode_tokens_per_s": decoding,
        "predicted": predicted,
        "ratio": None,
    }


def _ratio(ours: dict[str, object], theirs: dict[str, object]) -> float:
    return float(str(ours["decode_tokens_per_s"])) / float(str(theirs["decode_tokens_per_s"]))


if __name__ == "__main__":
    main()
