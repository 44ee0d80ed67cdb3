"""banyan plan: will it fit, how fast, in which layout, before anything is bought or started."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, get_args

import typer

from banyan.cli import output
from banyan.cli.cluster import read_hosts
from banyan.cli.options import AsJson, Home, settings
from banyan.cli.session import opened
from banyan.core.errors import InputError
from banyan.core.layout import ModelShape, Objective, Workload, from_json
from banyan.core.settings import Settings

if TYPE_CHECKING:
    from banyan.plan.candidates import Candidate
    from banyan.plan.cost import Price
    from banyan.plan.planner import Plan
    from banyan.plan.sizes import WeightKind

Choice = TypeVar("Choice", bound=str)
SHAPE = re.compile(r"^\w+=\d+(,\w+=\d+)*$")
NEEDED = ("layers", "hidden", "ffn", "heads", "vocab")
LARGEST = 10_000_000
"""No size of a model is larger."""
LEAST_SHARE = 0.01
"""Parts of a time that are smaller are not listed."""
HINT = "Nothing was measured: trust the order of the layouts more than the seconds."


def plan(
    model: Annotated[
        str,
        typer.Argument(help="A model's name, a checkpoint's path, or layers=26,hidden=3200,..."),
    ],
    hosts: Annotated[Path, typer.Option("--hosts", help="File that names the machines (TOML).")],
    prompt: Annotated[int, typer.Option("--prompt", min=1, help="Tokens of a prompt.")] = 512,
    generate: Annotated[int, typer.Option("--generate", min=1, help="Tokens of an answer.")] = 128,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, help="Requests that run at a time.")
    ] = 32,
    objective: Annotated[
        str, typer.Option("--objective", help="throughput, ttft (first token) or itl (between).")
    ] = "throughput",
    precision: Annotated[
        str, typer.Option("--precision", help="fp32, fp16, bf16, int8, packed or packed+copy.")
    ] = "bf16",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say which layout of a model suits these machines, how fast it will be, and why not others."""
    from banyan.plan.devices import facts_of
    from banyan.plan.planner import plan as make_plan
    from banyan.plan.sizes import WeightKind

    kind: WeightKind = _one_of("precision", precision, get_args(WeightKind))
    wanted: Objective = _one_of("objective", objective, get_args(Objective))
    workload = Workload(prompt=prompt, generate=generate, concurrency=concurrency, objective=wanted)
    facts = facts_of(read_hosts(hosts))
    found = make_plan(_shape(model, home), kind, facts, workload)
    launch = list(_launch(found.chosen, model, hosts, len(facts.hosts)))
    if as_json:
        output.emit(_json(found, launch))
    else:
        _show(found, launch)


def _one_of(what: str, given: str, known: tuple[Choice, ...]) -> Choice:
    for each in known:
        if given == each:
            return each
    raise InputError(f"{given!r} is not a {what}.", remedy=f"Choose {', '.join(known)}.")


def _shape(model: str, home: Path | None) -> ModelShape:
    if not SHAPE.match(model):
        with opened(settings(home)) as app:
            return app.shape(model)
    given = {name: int(number) for name, number in (part.split("=") for part in model.split(","))}
    known = {entry.name for entry in fields(ModelShape)} - {"windows", "tied"}
    if given.keys() - known or set(NEEDED) - given.keys():
        raise InputError(
            "The shape is not complete, or names something unknown.",
            remedy=f"It needs {', '.join(NEEDED)}; known are {', '.join(sorted(known))}.",
        )
    given.setdefault("kv_heads", given["heads"])
    given.setdefault("head_dim", given["hidden"] // max(1, given["heads"]))
    for name, number in given.items():
        if not 0 < number <= LARGEST:
            raise InputError(f"{name} is {number}; it must lie between 1 and {LARGEST}.")
    if given["heads"] % given["kv_heads"]:
        raise InputError(
            f"{given['heads']} heads cannot share {given['kv_heads']} key-value heads."
        )
    if not 0 <= given.get("experts_per_token", 0) <= given.get("experts", 0):
        raise InputError("experts_per_token must not be more than experts.")
    if given.get("experts") and not given.get("experts_per_token"):
        raise InputError("A model with experts needs experts_per_token.")
    return from_json(ModelShape, given)


def _show(found: Plan, launch: list[str]) -> None:
    output.table(
        ("best for", "layout", "hosts", "a rank holds", "of", "first token", "between", "rate"),
        [(objective, *_cells(best)) for objective, best in found.best.items()],
    )
    output.print_text()
    output.table(
        ("time of", "layout", "seconds", "where it goes"),
        [
            (what, each.name, f"{price.seconds:.3f}", _parts(price))
            for objective, each in found.best.items()
            for what, price in _times(objective, each, found.workload)
        ],
    )
    output.print_text()
    output.table(
        ("not", "hosts", "because"),
        [(each.name, ", ".join(each.hosts), each.reason) for each in found.rejected],
    )
    output.print_text()
    for line in launch:
        output.print_text(line)
    if found.default is not None and found.default.fits:
        gain = found.chosen.tokens_per_s / found.default.tokens_per_s
        output.note(f"{gain:.2f} times the rate of {found.default.name} over everything.")
    output.note(HINT)


def _times(
    objective: Objective, each: Candidate, workload: Workload
) -> Iterator[tuple[str, Price]]:
    """What an objective's winner is judged by."""
    name = {
        "throughput": f"all {workload.concurrency} requests",
        "ttft": "first token",
        "itl": "next token",
    }
    yield name[objective], each.price(objective)


def _cells(each: Candidate) -> tuple[str, ...]:
    from banyan.plan.sizes import in_words

    return (
        each.name,
        ", ".join(each.hosts),
        in_words(each.tightest.need.total),
        in_words(each.tightest.limit),
        f"{each.ttft.seconds:.3f} s",
        f"{each.itl.seconds * 1e3:.1f} ms",
        f"{each.tokens_per_s:.1f} tokens/s",
    )


def _parts(price: Price) -> str:
    """``products 62%, sums between ranks 31%``, the largest first."""
    parts = sorted(price.parts.items(), key=lambda part: -part[1])
    shares = ((name, seconds / price.seconds) for name, seconds in parts)
    return ", ".join(f"{name} {share:.0%}" for name, share in shares if share >= LEAST_SHARE)


def _launch(each: Candidate, model: str, hosts: Path, all_hosts: int) -> Iterator[str]:
    """What to type for a layout."""
    if not each.is_run:
        yield f"The engine does not run {each.name} yet."
        return
    first = each.replicas[0]
    on_one_host = len({rank.host for rank in first.ranks}) == 1
    command = " ".join([*_settings(each), "banyan serve", model])
    if not on_one_host:
        layout = "pp" if len(first.layout.stages) > 1 else "tp"
        command += f" --hosts {hosts} --layout {layout}"
    elif first.layout.ranks > 1:
        command += f" --local-ranks {first.layout.ranks}"
    copies = len(each.replicas)
    if copies > 1:
        yield f"{copies} servers, each on its own devices; share the requests among them:"
    elif on_one_host:
        yield f"On {first.ranks[0].host}:"
    elif len(each.hosts) < all_hosts:
        yield f"With a hosts file that names only {', '.join(each.hosts)}:"
    yield command


def _settings(each: Candidate) -> Iterator[str]:
    """Settings that the workload needs and that are not so by default."""
    usual = Settings()
    cache = max(rank.need.kv for rank in each.ranks)
    sequences = max(replica.sequences for replica in each.replicas)
    if cache > usual.kv_cache_bytes:
        yield f"BANYAN_KV_CACHE_BYTES={cache}"
    if sequences > usual.max_sequences:
        yield f"BANYAN_MAX_SEQUENCES={sequences}"


def _json(found: Plan, launch: list[str]) -> dict[str, object]:
    return {
        "workload": asdict(found.workload),
        "precision": found.kind,
        "best": {objective: _candidate(each) for objective, each in found.best.items()},
        "launch": launch,
        "rejected": [_candidate(each) for each in found.rejected],
    }


def _candidate(each: Candidate) -> dict[str, object]:
    return {
        "layout": each.name,
        "hosts": each.hosts,
        "fits": each.fits,
        "is_run": each.is_run,
        "ranks": [
            {
                "host": rank.host,
                "device": rank.device,
                "limit_bytes": rank.limit,
                "total_bytes": rank.need.total,
            }
            | {f"{name}_bytes": count for name, count in asdict(rank.need).items()}
            for rank in each.ranks
        ],
        "sequences": [replica.sequences for replica in each.replicas],
        "layers": [
            [stage.shares[0].layers.size for stage in replica.layout.stages]
            for replica in each.replicas
        ],
        "ttft_s": each.ttft.seconds,
        "ttft_parts_s": asdict(each.ttft),
        "itl_s": each.itl.seconds,
        "itl_parts_s": asdict(each.itl),
        "work_s": each.work.seconds,
        "work_parts_s": asdict(each.work),
        "tokens_per_s": each.tokens_per_s,
        "reason": each.reason,
    }
