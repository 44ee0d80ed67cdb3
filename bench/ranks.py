"""Ranks of a group as processes on hosts of namespaces, driven without a server.

    python bench/ranks.py FORMATION.json RANK PATH [MEMORY_FD]

is one of them. Rank 0 reads one step a line from its standard input and answers with its seconds;
between steps it may be told another collective, for the batch's number says which, so that
algorithms are compared in one run on the same processes.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import netns

from banyan.core.layout import (
    DeviceFacts,
    Facts,
    HostFacts,
    Layout,
    LinkFacts,
    from_json,
    to_json,
)
from banyan.engine.comm import shared
from banyan.engine.comm.auto import Auto
from banyan.engine.comm.choose import make_collective
from banyan.engine.comm.collective import Buffer, Collective
from banyan.engine.comm.group import Group
from banyan.engine.comm.roster import Member, Roster
from banyan.engine.config import EngineConfig
from banyan.engine.formation import Communication, Formation, ModelIdentity, Seat
from banyan.plan.devices import CARD_LINK, SHARED_MEMORY, linked

PORT = 7000
PAGE = 16
FIRST_LINE_S = 120.0


class Switch:
    """A collective that is one of several at a time."""

    name = "switch"

    def __init__(self, group: Group, ways: Sequence[Communication]) -> None:
        self.ways = [make_collective(group, way.algorithm, way.payload) for way in ways]
        self.number = 0

    def all_reduce(self, buffer: Buffer) -> None:
        self.ways[self.number].all_reduce(buffer)


class Ranks:
    """A running group; ``step`` computes one batch with one of its collectives.

    ``peak_bytes``: the most that rank 0 held on its card during the last step; 0 on a processor.
    """

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        self.processes = processes
        self.peak_bytes = 0
        said = self._answer()
        self.facts = from_json(DeviceFacts, said["device"])
        self.links = [from_json(LinkFacts, link) for link in said["links"]]

    def step(self, *, way: int, prompt: int, batch: int, context: int = 0) -> float:
        """Seconds for ``batch`` sequences of ``prompt`` new tokens after ``context`` old ones."""
        asked = {"way": way, "prompt": prompt, "batch": batch, "context": context}
        head = self.processes[0]
        if head.stdin is None:
            raise RuntimeError("rank 0 has no standard input")
        head.stdin.write(json.dumps(asked).encode() + b"\n")
        head.stdin.flush()
        answer = self._answer()
        self.peak_bytes = int(answer["peak_bytes"])
        return float(answer["seconds"])

    def _answer(self) -> dict[str, Any]:
        head = self.processes[0]
        line = head.stdout.readline() if head.stdout is not None else b""
        if not line:
            raise RuntimeError("rank 0 has ended; its messages are above")
        return dict(json.loads(line))


def medians(
    ranks: Ranks, ways: Mapping[str, int], *, prompt: int, batch: int, runs: int, context: int = 0
) -> dict[str, float]:
    """Median seconds of a step by each collective, by name; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            times[name].append(ranks.step(way=way, prompt=prompt, batch=batch, context=context))
    return {name: statistics.median(found) for name, found in times.items()}


@contextmanager
def running(
    hosts: Sequence[netns.Host],
    ranks_per_host: int,
    layout: Layout,
    path: Path,
    config: EngineConfig,
    *,
    ways: Sequence[Communication],
    cpus: Callable[[int], Sequence[int]] = lambda host: (),
    device: Callable[[int, int], str] = lambda host, place: "cpu",
    only_card: Callable[[int, int], int] | None = None,
    micro_batch_tokens: int = 256,
) -> Iterator[Ranks]:
    """The ranks of ``layout`` on ``hosts``; they end with the context. ``only_card``: the one card
    that a rank is shown, as its first."""
    members = [
        Member(
            rank=host * ranks_per_host + place,
            host=host,
            address=hosts[host].address,
            port=PORT + place,
            device=device(host, place),
            sharers=ranks_per_host,
        )
        for host in range(len(hosts))
        for place in range(ranks_per_host)
    ]
    formation = Formation(
        roster=Roster(group_id="bench", key=os.urandom(32).hex(), members=tuple(members)),
        layout=layout,
        model=ModelIdentity(name="bench", digest="", size_bytes=0),
        config=config,
        micro_batch_tokens=micro_batch_tokens,
    )
    said = {"formation": to_json(formation), "ways": [to_json(way) for way in ways]}
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(said, file)
        file.flush()
        try:
            for host in range(len(hosts)):
                memory = shared.create(ranks_per_host) if ranks_per_host > 1 else None
                here = members[host * ranks_per_host : (host + 1) * ranks_per_host]
                for place, member in enumerate(here):
                    shown = None if only_card is None else only_card(host, place)
                    processes.append(
                        _start(hosts[host], member, file.name, path, memory, cpus, shown)
                    )
                if memory is not None:
                    os.close(memory)
            yield Ranks(processes)
        finally:
            for process in processes:
                process.kill()
            for process in processes:
                process.wait()
                for stream in (process.stdin, process.stdout):
                    if stream is not None:
                        stream.close()


def _start(
    host: netns.Host,
    member: Member,
    file: str,
    path: Path,
    memory: int | None,
    cpus: Callable[[int], Sequence[int]],
    only_card: int | None,
) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, file, str(member.rank), str(path)]
    options: dict[str, object] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    if memory is not None:
        command.append(str(memory))
        options["pass_fds"] = (memory,)
    environment = {**os.environ, "GOMP_SPINCOUNT": "1000"}
    if only_card is not None:
        environment["CUDA_VISIBLE_DEVICES"] = str(only_card)
    return host.popen(command, cpus=cpus(member.host), env=environment, **options)


def alike(device: DeviceFacts, hosts: int, ranks: int, link: LinkFacts) -> Facts:
    """Hosts whose every rank is as ``device`` was measured while all of them were busy."""
    local = CARD_LINK if device.kind == "cuda" else SHARED_MEMORY
    found = [
        HostFacts(name=f"h{number}", devices=(device,) * ranks, local=local)
        for number in range(hosts)
    ]
    return linked(found, link)


def main() -> None:
    file, rank, path = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    said = json.loads(Path(file).read_text())
    formation = from_json(Formation, said["formation"])
    ways = [from_json(Communication, way) for way in said["ways"]]
    member = formation.roster.members[rank]
    listener = socket.create_server((member.address, member.port), backlog=64)
    memory = (int(sys.argv[4]),) if len(sys.argv) > 4 else ()
    seat = Seat(formation=formation, rank=rank, listener_fd=listener.detach(), memory_fds=memory)
    serve(seat, path, ways)


def serve(seat: Seat, path: Path, ways: Sequence[Communication]) -> None:
    """Take the seat and compute what rank 0 is told, each batch by the collective it names."""
    from banyan.engine import group_runner
    from banyan.engine.device_facts import measure_device
    from banyan.engine.seat import take

    switches: list[Switch] = []

    def make(group: Group, _algorithm: str, _payload: str) -> Collective:
        switches.append(Switch(group, ways))
        return switches[0]

    seated = take(seat, path, lambda _: None, make)
    stage = seated.stage

    class Switched:
        """The stage, after the collective has been set by the batch's number."""

        def run(self, batch: Any) -> Any:
            number = batch.id % len(ways)
            for switch in switches:
                switch.number = number
            is_cpu = seated.model.device.type == "cpu"
            stage.overlaps = is_cpu and bool(switches) and ways[number].algorithm == "auto"
            return stage.run(batch)

        def close(self) -> None:
            stage.close()

    layout = seat.formation.layout
    config = seat.formation.config
    kind = "packed+copy" if config.packed_copy else config.precision
    facts = to_json(measure_device(seated.model, kind))  # type: ignore[arg-type]  # benches name it
    if seat.rank:
        plan = seated.group.channels[group_runner.PLAN][0]
        group_runner.follow(Switched(), plan, layout.share(seat.rank).vocab)  # type: ignore[arg-type]
        return
    last = [(rank, layout.share(rank).vocab) for rank in layout.stages[-1].ranks]
    runner = group_runner.GroupRunner(Switched(), seated.group, last)  # type: ignore[arg-type]
    print(json.dumps({"device": facts, "links": _links(switches)}), flush=True)
    for line in sys.stdin:
        print(json.dumps(_timed(runner, json.loads(line), len(ways), seated.model)), flush=True)


def _links(switches: Sequence[Switch]) -> list[Any]:
    """From the first host to each other one, where a collective has measured them."""
    ways = [way for switch in switches for way in switch.ways]
    measured = [way.links for way in ways if isinstance(way, Auto)]
    return [to_json(link) for link in measured[0][0][1:]] if measured else []


def _timed(runner: Any, asked: dict[str, int], ways: int, model: Any) -> dict[str, float]:
    import torch

    on_card = model.device.type == "cuda"
    batch = make_batch(asked["prompt"], asked["batch"], asked["context"])
    batch = replace(batch, id=asked["way"] % ways)
    if on_card:
        torch.cuda.reset_peak_memory_stats(model.device)
    started = time.perf_counter()
    runner.start(batch)()
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated(model.device) if on_card else 0
    return {"seconds": seconds, "peak_bytes": peak}


def make_batch(prompt: int, count: int, context: int) -> Any:
    """``count`` sequences of ``prompt`` new tokens after ``context``, greedy."""
    import torch

    from banyan.engine.batch import Batch, Span

    each = -(-(prompt + context) // PAGE)
    spans = tuple(
        Span(
            sequence_id=number,
            start=number * prompt,
            length=prompt,
            context=context + prompt,
            pages=tuple(range(number * each, (number + 1) * each)),
        )
        for number in range(count)
    )
    generator = torch.Generator().manual_seed(1)
    return Batch(
        id=0,
        tokens=torch.randint(3, 1000, (prompt * count,), generator=generator),
        positions=torch.arange(context, context + prompt).repeat(count),
        spans=spans,
        logit_rows=torch.arange(prompt - 1, prompt * count, prompt),
        whole_rows=torch.zeros(count, dtype=torch.bool),
    )


if __name__ == "__main__":
    main()
