"""banyan plan: will it fit, how fast, in which layout, before anything is bought or started."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from banyan.cli import output, plan_report
from banyan.cli.cluster import read_hosts
from banyan.cli.options import AsJson, Home, one_of, settings
from banyan.cli.session import opened
from banyan.core.errors import InputError
from banyan.core.layout import Facts, ModelShape, Objective, Workload, from_json
from banyan.core.settings import Settings

if TYPE_CHECKING:
    from banyan.plan.candidates import Candidate
    from banyan.plan.matrices import WeightKind

SHAPE = re.compile(r"^\w+=\d+(,\w+=\d+)*$")
NEEDED = ("layers", "hidden", "ffn", "heads", "vocab")
SIZES = (*NEEDED, "kv_heads", "head_dim", "experts", "experts_per_token")
LARGEST = 10_000_000
"""No size of a model is larger."""


def plan(
    model: Annotated[
        str,
        typer.Argument(help="A model's name, a checkpoint's path, or layers=26,hidden=3200,..."),
    ],
    hosts: Annotated[
        Path | None, typer.Option("--hosts", help="File that names the machines (TOML).")
    ] = None,
    facts: Annotated[
        Path | None,
        typer.Option("--facts", help="Instead: what `banyan cluster status --json` printed."),
    ] = None,
    prompt: Annotated[int, typer.Option("--prompt", min=1, help="Tokens of a prompt.")] = 512,
    generate: Annotated[int, typer.Option("--generate", min=1, help="Tokens of an answer.")] = 128,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, help="Requests that run at a time.")
    ] = 32,
    objective: Annotated[
        str, typer.Option("--objective", help="throughput, ttft (first token) or itl (between).")
    ] = "throughput",
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            help="fp32, fp16, bf16, int8, packed (4 bit), packed+copy, or auto: as the file is.",
        ),
    ] = "auto",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say which layout of a model suits these machines, how fast it will be, and why not others."""
    from banyan.plan.planner import plan as make_plan

    wanted: Objective = one_of("objective", objective, get_args(Objective))
    workload = Workload(prompt=prompt, generate=generate, concurrency=concurrency, objective=wanted)
    machines = _machines(hosts, facts)
    shape, kind = _model(model, precision, machines, home)
    found = make_plan(shape, kind, machines, workload)
    launch = list(_launch(found.chosen, model, hosts, len(machines.hosts)))
    if as_json:
        output.emit(plan_report.as_json(found, machines, launch))
    else:
        plan_report.show(found, machines, model, launch)


def _machines(hosts: Path | None, facts: Path | None) -> Facts:
    from banyan.plan.devices import facts_of
    from banyan.plan.facts_file import parse_facts

    if hosts is not None and facts is None:
        return facts_of(read_hosts(hosts))
    if facts is not None and hosts is None:
        try:
            return parse_facts(facts.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The facts file {facts} cannot be read: {error}.") from None
    raise InputError(
        "The machines are not named." if hosts is None else "The machines are named twice.",
        remedy="Give either --hosts hosts.toml or --facts FILE.",
    )


def _model(
    model: str, precision: str, machines: Facts, home: Path | None
) -> tuple[ModelShape, WeightKind]:
    """The sizes of a model, and what it is planned in. Cards do not compute packed weights."""
    from banyan.plan.matrices import WeightKind

    if SHAPE.match(model):
        shape, usual = _shape(model), "bf16"
    else:
        with opened(settings(home)) as app:
            shape, usual = app.planned(model)
    if any(device.kind == "cuda" for host in machines.hosts for device in host.devices):
        usual = "bf16"
    known = get_args(WeightKind)
    wanted = one_of("precision", precision, ("auto", *known))
    return shape, one_of("precision", usual if wanted == "auto" else wanted, known)


def _shape(model: str) -> ModelShape:
    given = {name: int(number) for name, number in (part.split("=") for part in model.split(","))}
    if given.keys() - set(SIZES) or set(NEEDED) - given.keys():
        raise InputError(
            "The shape is not complete, or names something unknown.",
            remedy=f"It needs {', '.join(NEEDED)}; known are {', '.join(sorted(SIZES))}.",
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


def _launch(each: Candidate, model: str, hosts: Path | None, all_hosts: int) -> Iterator[str]:
    """What to type for a layout."""
    if not each.is_run:
        yield f"The engine does not run {each.name} yet."
        return
    names, first = each.hosts, each.replicas[0]
    command = " ".join([*_settings(each), "banyan serve", model])
    if len(names) > 1:
        command += f" --workers {len(names) - 1}" if hosts is None else f" --hosts {hosts}"
    elif len(each.ranks) > 1:
        command += f" --local-ranks {len(each.ranks)}"
    command += _copies(each)
    if len({rank.host for rank in first.ranks}) > 1:
        command += f" --layout {'pp' if len(first.layout.stages) > 1 else 'tp'}"
    if len(names) == 1:
        yield f"On {names[0]}:"
    elif hosts is None:
        yield f"On {names[0]}, with {', '.join(names[1:])} joining it:"
    elif len(names) < all_hosts:
        yield f"With a hosts file that names only {', '.join(names)}:"
    yield command


def _copies(each: Candidate) -> str:
    """How replicas are asked for: by number where they are alike."""
    sizes = {replica.layout.ranks for replica in each.replicas}
    if len(each.replicas) == 1:
        return ""
    return f" --replicas {len(each.replicas)}" if len(sizes) == 1 else " --objective throughput"


def _settings(each: Candidate) -> Iterator[str]:
    """Settings that the workload needs and that are not so by default."""
    usual = Settings()
    cache = max(rank.need.kv for rank in each.ranks)
    sequences = max(replica.sequences for replica in each.replicas)
    if cache > usual.kv_cache_bytes:
        yield f"BANYAN_KV_CACHE_BYTES={cache}"
    if sequences > usual.max_sequences:
        yield f"BANYAN_MAX_SEQUENCES={sequences}"
