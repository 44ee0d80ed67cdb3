"""banyan plan: will it fit, how fast, in which layout, before anything is bought or started."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from banyan.cli import output
from banyan.cli.cluster import read_hosts
from banyan.cli.options import AsJson, Home, settings
from banyan.cli.session import opened
from banyan.core.errors import InputError
from banyan.core.layout import ModelShape, Objective, Workload, from_json

if TYPE_CHECKING:
    from banyan.plan.planner import Candidate, Plan

SHAPE = re.compile(r"^\w+=\d+(,\w+=\d+)*$")


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

    kinds, objectives = get_args(WeightKind), get_args(Objective)
    for what, given, known in (
        ("precision", precision, kinds),
        ("objective", objective, objectives),
    ):
        if given not in known:
            raise InputError(f"{given!r} is not a {what}.", remedy=f"Choose {', '.join(known)}.")
    file = read_hosts(hosts)
    workload = Workload(
        prompt=prompt,
        generate=generate,
        concurrency=concurrency,
        objective=objective,  # type: ignore[arg-type]  # checked above
    )
    kind: WeightKind = precision  # type: ignore[assignment]  # checked above
    found = make_plan(_shape(model, home), kind, facts_of(file), workload)
    if as_json:
        output.emit(_json(found))
    else:
        _show(found, model, hosts)


def _shape(model: str, home: Path | None) -> ModelShape:
    if not SHAPE.match(model):
        with opened(settings(home)) as app:
            return app.shape(model)
    given = {name: int(number) for name, number in (part.split("=") for part in model.split(","))}
    known = {entry.name for entry in fields(ModelShape)} - {"windows", "tied"}
    needed = {"layers", "hidden", "ffn", "heads", "vocab"}
    if given.keys() - known or needed - given.keys() or not all(given.values()):
        raise InputError(
            "The shape is not complete, or names something unknown.",
            remedy=f"It needs {', '.join(sorted(needed))}; known are {', '.join(sorted(known))}.",
        )
    given.setdefault("kv_heads", given["heads"])
    given.setdefault("head_dim", given["hidden"] // given["heads"])
    if given["heads"] % given["kv_heads"]:
        raise InputError(
            f"{given['heads']} heads cannot share {given['kv_heads']} key-value heads."
        )
    return from_json(ModelShape, given)


def _show(found: Plan, model: str, hosts: Path) -> None:
    rows = []
    for objective, best in found.best.items():
        rows.append((objective, *_cells(best)))
    output.table(("best for", "layout", "hosts", "memory", "first", "between", "rate"), rows)
    output.print_text()
    output.table(
        ("not", "layout", "hosts", "reason"),
        [("-", each.name, ", ".join(each.hosts), each.reason) for each in found.rejected],
    )
    if found.chosen.layout.replicas == 1 and not found.chosen.is_streamed:
        layout = "pp" if len(found.chosen.layout.stages) > 1 else "tp"
        output.print_text()
        output.print_text(f"banyan serve {model} --hosts {hosts} --layout {layout}")


def _cells(each: Candidate) -> tuple[str, ...]:
    pairs = zip(each.needs, each.limits, strict=True)
    tightest = max(pairs, key=lambda pair: pair[0].total / pair[1], default=None)
    memory = (
        ""
        if tightest is None
        else f"{output.size(tightest[0].total)} of {output.size(tightest[1])}"
    )
    return (
        each.name,
        ", ".join(each.hosts),
        memory,
        f"{each.ttft.seconds:.3f} s",
        f"{each.itl.seconds * 1e3:.1f} ms",
        f"{each.tokens_per_s:.1f} tokens/s",
    )


def _json(found: Plan) -> dict[str, object]:
    return {
        "workload": asdict(found.workload),
        "precision": found.kind,
        "best": {objective: _candidate(each) for objective, each in found.best.items()},
        "rejected": [_candidate(each) for each in found.rejected],
    }


def _candidate(each: Candidate) -> dict[str, object]:
    return {
        "layout": each.name,
        "hosts": each.hosts,
        "fits": each.fits,
        "needs_bytes": [asdict(need) | {"total": need.total} for need in each.needs],
        "limits_bytes": each.limits,
        "ttft_s": each.ttft.seconds,
        "itl_s": each.itl.seconds,
        "itl_parts_s": asdict(each.itl),
        "tokens_per_s": each.tokens_per_s,
        "reason": each.reason,
    }
