"""How fast the engine is: time to ready, prefill, decoding alone and in company.

    make bench-engine

Rates are tokens per second of the packaged model in its own process, as the server runs it; each
is the best of the runs, for other work on the machine only ever slows a run down. The precision is
what "auto" means here; ``--full`` adds the others. ``reference`` is plain ``transformers`` in bf16
with the same threads in the same minutes (``--no-reference`` leaves it out), and for 16 requests at
once it is the engine's own rate for one.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from table import Row, report

from banyan.core.context import Context
from banyan.core.events import TokenReady
from banyan.core.types import Sampling
from banyan.engine.child import SPIN_COUNT
from banyan.engine.config import PRECISIONS, EngineConfig, Precision, available_cores
from banyan.engine.process import EngineProcess

MODEL = Path("models") / "smollm2-135m-instruct"
STORY = "The river ran past the old mill, and the miller counted the sacks one by one. "
PROMPT = STORY * 54
"""About 1,000 tokens."""
NEW_TOKENS = 64
TOGETHER = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".models"), help="home with models")
    parser.add_argument("--data", type=Path, help="not used here")
    parser.add_argument("--model", type=Path, help="another checkpoint than the packaged one")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--no-reference", action="store_true", help="leave transformers out")
    parser.add_argument("--full", action="store_true", help="every precision and more runs")
    options = parser.parse_args()
    path = options.model or options.home / MODEL
    runs = 5 if options.full else 3
    precisions = list(PRECISIONS) if options.full else ["auto"]
    measured = {name: measure(path, name, options.threads, runs) for name in precisions}
    reference: dict[str, float] = {}
    if not options.no_reference:
        reference = measure_transformers(path, options.threads, runs)
    report("engine", [row for name in precisions for row in rows(name, measured[name], reference)])


def measure(path: Path, precision: Precision, threads: int, runs: int) -> dict[str, float]:
    """Every figure of the engine at one precision."""
    config = EngineConfig(precision=precision, threads=threads, max_sequences=TOGETHER)
    found: dict[str, float] = {}
    engine = EngineProcess(path, config)
    try:
        found["ready_s"] = min(_seconds_to_ready(engine) for _ in range(runs))
        prompt_tokens = engine.count(PROMPT)
        found["prefill_tokens_per_s"] = prompt_tokens / min(_first_token(engine, runs))
        found["decode_tokens_per_s"] = max(_decode_rate(engine) for _ in range(runs))
        found[f"decode_{TOGETHER}_tokens_per_s"] = max(_decode_together(engine, runs))
        found["rss_mib"] = engine.rss_bytes / 2**20
    finally:
        engine.close()
    return found


def _seconds_to_ready(engine: EngineProcess) -> float:
    engine.unload()
    started = time.perf_counter()
    engine.count("")
    return time.perf_counter() - started


def _first_token(engine: EngineProcess, runs: int) -> list[float]:
    one = Sampling(temperature=0, max_tokens=1)
    return [_timed(lambda: list(engine.complete(PROMPT, one, Context()))) for _ in range(runs)]


def _decode_rate(engine: EngineProcess, prompt: str = STORY) -> float:
    """Tokens per second from the first token to the last."""
    sampling = Sampling(temperature=0, max_tokens=NEW_TOKENS, logprobs=0)
    began, tokens = 0.0, 0
    for event in engine.complete(prompt, sampling, Context()):
        if isinstance(event, TokenReady):
            began = began or time.perf_counter()
            tokens += len(event.logprobs)
    return (tokens - 1) / (time.perf_counter() - began)


def _decode_together(engine: EngineProcess, runs: int) -> list[float]:
    """Tokens per second of all requests, their short prompts included."""
    sampling = Sampling(temperature=0.7, seed=1, max_tokens=NEW_TOKENS)
    usage = []

    def write(number: int) -> None:
        *_, done = engine.complete(f"{STORY} {number}", sampling, Context())
        usage.append(done.usage.completion_tokens)  # type: ignore[union-attr]  # the last event

    rates = []
    with ThreadPoolExecutor(TOGETHER) as pool:
        for _ in range(runs):
            usage.clear()
            seconds = _timed(lambda: list(pool.map(write, range(TOGETHER))))
            rates.append(sum(usage) / seconds)
    return rates


def measure_transformers(path: Path, threads: int, runs: int) -> dict[str, float]:
    """Prefill and single decoding by plain ``transformers``.

    A Llama of the same shape with random weights: the speed does not depend on what they are.
    """
    os.putenv("GOMP_SPINCOUNT", SPIN_COUNT)  # as in the engine's process; read when torch loads
    import torch
    from transformers import LlamaForCausalLM

    torch.set_num_threads(threads)
    shape, prompt_tokens = _llama_shape(path)
    model = LlamaForCausalLM(shape).to(torch.bfloat16).eval()

    def generate(prompt: int, count: int) -> float:
        ids = torch.randint(3, shape.vocab_size, (1, prompt))
        limits = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False}
        return _timed(lambda: model.generate(ids, attention_mask=torch.ones_like(ids), **limits))

    with torch.inference_mode():
        prefill_s = min(generate(prompt_tokens, 1) for _ in range(runs))
        one_s = min(generate(20, 1) for _ in range(runs))
        all_s = min(generate(20, NEW_TOKENS) for _ in range(runs))
    return {
        "prefill_tokens_per_s": prompt_tokens / prefill_s,
        "decode_tokens_per_s": (NEW_TOKENS - 1) / (all_s - one_s),
    }


def _llama_shape(path: Path) -> tuple[Any, int]:
    """The checkpoint's shape as ``transformers`` names it, and the length of the long prompt."""
    from transformers import LlamaConfig

    from banyan.engine.checkpoint import open_checkpoint
    from banyan.engine.tokenizer import Tokenizer

    ours = open_checkpoint(path).config
    shape = LlamaConfig(
        vocab_size=ours.vocab,
        hidden_size=ours.hidden,
        intermediate_size=ours.ffn,
        num_hidden_layers=ours.layers,
        num_attention_heads=ours.heads,
        num_key_value_heads=ours.kv_heads,
        head_dim=ours.head_dim,
        max_position_embeddings=ours.context_length,
        tie_word_embeddings=ours.tied,
        pad_token_id=0,
    )
    return shape, len(Tokenizer.load(path).encode(PROMPT, special=False))


def rows(precision: str, found: dict[str, float], reference: dict[str, float]) -> list[Row]:
    together = f"decode_{TOGETHER}_tokens_per_s"
    beside = {**reference, together: found["decode_tokens_per_s"]}
    table: list[Row] = []
    for name, value in found.items():
        other = beside.get(name)
        table.append(
            {
                "measure": name,
                "precision": precision,
                "ours": round(value, 2),
                "reference": round(other, 2) if other else None,
                "ratio": round(value / other, 2) if other else None,
            }
        )
    return table


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
