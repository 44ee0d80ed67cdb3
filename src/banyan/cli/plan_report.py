"""How a plan is told: tables for a person, or one JSON document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from banyan.cli import output
from banyan.core.layout import Facts, Objective, Workload
from banyan.plan.sizes import duration_in_words

if TYPE_CHECKING:
    from banyan.plan.candidates import Candidate
    from banyan.plan.cost import Price
    from banyan.plan.planner import Plan

BAR = 20
"""Characters of a full memory bar."""
LEAST_SHARE = 0.01
"""Parts of a time that are smaller are not listed."""
SHOWN = 4
"""Rejected layouts that are shown of each reason; --json has all."""
UNMEASURED = "Trust the order of the layouts more than the seconds."


def show(found: Plan, facts: Facts, model: str, launch: Sequence[str]) -> None:
    """Winners, their memory, where their time goes, and why not the others."""
    workload = found.workload
    output.print_text(
        f"{model} in {found.kind}, {workload.concurrency} requests at a time, "
        f"{workload.prompt} tokens in, {workload.generate} out"
    )
    output.print_text()
    output.table(
        ("best for", "layout", "hosts", "first token", "between tokens", "tokens/s"),
        [(objective, *_speed(best)) for objective, best in found.best.items()],
    )
    output.print_text()
    output.print_text(f"Memory for {found.chosen.name}")
    headers = ("device", "", "GB", "may use", "weights", "keys and values", "activations")
    output.table(headers, list(_memory(found.chosen)))
    output.print_text()
    output.table(
        ("time of", "layout", "", "where it goes"),
        [
            (_what(objective, workload), each.name, duration_in_words(price.seconds), _parts(price))
            for objective, each in found.best.items()
            for price in (each.price(objective),)
        ],
    )
    output.print_text()
    for line in _why(found):
        output.print_text(line)
    output.print_text()
    output.table(("not chosen", "hosts", "because it"), list(_rejected(found)))
    output.print_text()
    for line in launch:
        output.print_text(line)
    for note in _notes(found, facts):
        output.note(note)


def as_json(found: Plan, facts: Facts, launch: Sequence[str]) -> dict[str, object]:
    """Everything, with times in seconds and sizes in bytes."""
    from banyan.plan.devices import assumptions

    return {
        "workload": asdict(found.workload),
        "precision": found.kind,
        "assumed": assumptions(facts, found.kind),
        "best": {objective: _candidate(each) for objective, each in found.best.items()},
        "launch": launch,
        "rejected": [_candidate(each) for each in found.rejected],
    }


def _called(each: Candidate) -> str:
    """Its name, and for a pipeline of unlike stages how many layers each has."""
    layers = [stage.shares[0].layers.size for stage in each.layout.stages]
    if len(set(layers)) == 1:
        return each.name
    return f"{each.name} ({' + '.join(map(str, layers))} layers)"


def _speed(each: Candidate) -> tuple[str, ...]:
    return (
        _called(each),
        ", ".join(each.hosts),
        duration_in_words(each.ttft.seconds),
        duration_in_words(each.itl.seconds),
        f"{each.tokens_per_s:.1f}",
    )


def _memory(each: Candidate) -> Iterator[tuple[str, ...]]:
    """A line for each device; those that are alike on one host share one."""
    for rank, count in Counter(each.ranks).items():
        need, several = rank.need, f"{count} x " if count > 1 else ""
        streamed = f" + {need.streamed / 1e9:.2f} streamed" if need.streamed else ""
        yield (
            f"{rank.host}: {several}{rank.device}",
            _bar(need.total / rank.limit),
            f"{need.total / 1e9:.2f}",
            f"{rank.limit / 1e9:.2f}",
            f"{need.weights / 1e9:.2f}{streamed}",
            f"{need.kv / 1e9:.2f}",
            f"{need.activations / 1e9:.2f}",
        )


def _bar(part: float) -> str:
    full = min(BAR, round(part * BAR))
    return f"{'#' * full}{'.' * (BAR - full)} {part:.0%}"


def _what(objective: Objective, workload: Workload) -> str:
    """What an objective's winner is judged by."""
    name: dict[Objective, str] = {
        "throughput": f"all {workload.concurrency} requests",
        "ttft": "first token",
        "itl": "next token",
    }
    return name[objective]


def _parts(price: Price) -> str:
    """``products 62%, sums between ranks 31%``, the largest first."""
    parts = sorted(price.parts.items(), key=lambda part: -part[1])
    shares = ((name, seconds / price.seconds) for name, seconds in parts)
    return ", ".join(f"{name} {share:.0%}" for name, share in shares if share >= LEAST_SHARE)


def _why(found: Plan) -> Iterator[str]:
    """Why the chosen one won: against the nearest other, and against splitting over everything."""
    objective, chosen = found.workload.objective, found.chosen
    others = [each for each in found.rejected if each.fits and each.is_run]
    if not others:
        yield f"{chosen.name} is the only layout that fits and that the engine runs."
        return
    nearest = min(others, key=lambda each: each.score(objective))
    ratio = nearest.price(objective).seconds / chosen.price(objective).seconds
    line = f"{chosen.name} wins: {nearest.name} on {', '.join(nearest.hosts)} comes next"
    yield f"{line}, {ratio:.2f}x its time." if ratio > 1 else f"{line}, as fast on more devices."
    if found.default is not None and found.default.fits and found.default is not chosen:
        gain = found.default.price(objective).seconds / chosen.price(objective).seconds
        yield f"Splitting every layer over everything ({found.default.name}) takes {gain:.2f}x."


def _rejected(found: Plan) -> Iterator[tuple[str, str, str]]:
    """By cause, the commonest first; of each the first few, the nearest first."""
    by_cause: dict[str, list[Candidate]] = {}
    for each in sorted(found.rejected, key=lambda each: each.score(found.workload.objective)):
        by_cause.setdefault(each.cause, []).append(each)
    for cause, group in sorted(by_cause.items(), key=lambda entry: -len(entry[1])):
        yield str(len(group)), "", f"{cause}:"
        for each in group[:SHOWN]:
            yield f"  {_called(each)}", ", ".join(each.hosts), each.reason
        if len(group) > SHOWN:
            yield f"  and {len(group) - SHOWN} more", "", "(--json lists them)"


def _notes(found: Plan, facts: Facts) -> Iterator[str]:
    from banyan.plan.devices import assumptions

    for assumed in assumptions(facts, found.kind):
        yield f"Assumed, not measured: {assumed}."
    if assumptions(facts, found.kind):
        yield UNMEASURED


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
        "cause": each.cause,
        "reason": each.reason,
    }
