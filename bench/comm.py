"""How long an All-Reduce takes, by algorithm, and how well ``auto`` chooses.

    make bench-comm

Hosts are network namespaces at 1 Gbit/s. The algorithms take turns in rounds; even rounds decide
which single one is best, odd rounds give the regret: auto's time over that one's. ``bound_us`` is
the alpha-beta bound of ``plan/collectives.py`` with the configured bandwidth and delay,
``predicted_us`` its model of the algorithm on the links as measured. ``gloo`` is torch's own,
without added delay.

    PYTHONPATH=src:bench python bench/comm.py --cards    # on a machine with two graphics cards

sums numbers that lie on cards, one card to a host, whose ranks share it; and, as one host of two
cards, over NCCL.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import math
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import netns
from delay import Delays
from table import Row, report

from banyan.core.layout import LinkFacts, from_json, to_json
from banyan.engine.comm import shared
from banyan.engine.comm.auto import Auto
from banyan.engine.comm.collective import Buffer, Collective
from banyan.engine.comm.collectives import COLLECTIVES
from banyan.engine.comm.group import Group
from banyan.engine.comm.measure import agreed
from banyan.engine.comm.mesh import join_mesh
from banyan.engine.comm.roster import Member, Roster
from banyan.plan.collectives import Ranks, bound_s

TOPOLOGIES = [(2, 1), (2, 2), (2, 4), (3, 2), (4, 1)]
SIZES = [4 << 10, 8 << 10, 64 << 10, 512 << 10, 4 << 20, 16 << 20]
CARD_TOPOLOGIES = [(2, 1), (2, 2), (2, 4), (1, 2)]
DELAYS_MS = [0.0, 0.1, 0.5]
BANDWIDTH = 1e9 / 8
PORT, STORE_PORT = 7000, 7099
ROUNDS = 60
CELL_S = 3.0
"""Time for all algorithms at one size, after which no further round begins."""
TRIAL_ROUNDS = 2
HOPELESS = 2.0
"""An algorithm so many times slower than the best one in the trial rounds has no further ones."""
LONGEST_S = 120.0
"""A rank that takes longer for one answer says where it stands, and ends."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="not used here")
    parser.add_argument("--data", type=Path, help="not used here")
    parser.add_argument("--full", action="store_true", help="more rounds")
    parser.add_argument("--only", default="", help="one topology, such as 2x4")
    parser.add_argument("--no-gloo", action="store_true", help="leave torch's gloo out")
    parser.add_argument("--cards", action="store_true", help="numbers lie on two graphics cards")
    options = parser.parse_args()
    if not netns.available():
        raise SystemExit("bench-comm needs root and iproute2 (network namespaces).")
    rows: list[Row] = []
    for hosts, per_host in CARD_TOPOLOGIES if options.cards else TOPOLOGIES:
        if options.only in ("", f"{hosts}x{per_host}"):
            with netns.hosts(hosts) as made:
                gloo = not options.no_gloo and not options.cards
                bench = Bench(made, per_host, gloo=gloo, on_cards=options.cards)
                try:
                    rows += bench.rows(3 if options.full else 1)
                finally:
                    bench.close()
    report("comm-cards" if options.cards else "comm", rows)
    _summary(rows)


class Bench:
    """Ranks of one topology, all told the same, rank 0 answering."""

    def __init__(
        self, made: Sequence[netns.Host], per_host: int, *, gloo: bool, on_cards: bool
    ) -> None:
        self.hosts, self.per_host, self.gloo = len(made), per_host, gloo
        self.delays_ms = [0.0] if on_cards else DELAYS_MS
        members = tuple(
            Member(
                rank=h * per_host + i,
                host=h,
                address=made[h].address,
                port=PORT + i,
                device=f"cuda:{i if len(made) == 1 else h}" if on_cards else "cpu",
            )
            for h in range(len(made))
            for i in range(per_host)
        )
        roster = json.dumps(
            to_json(Roster(group_id="b", key=os.urandom(32).hex(), members=members))
        )
        self.processes = []
        for h, host in enumerate(made):
            memory = shared.create(per_host) if per_host > 1 else None
            for member in members[h * per_host : (h + 1) * per_host]:
                command = [sys.executable, __file__, "--rank", str(member.rank), roster]
                command += [str(memory)] if memory is not None else []
                self.processes.append(
                    host.popen(
                        command,
                        cpus=() if on_cards else (h % (os.cpu_count() or 1),),
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        pass_fds=() if memory is None else (memory,),
                    )
                )
            if memory is not None:
                os.close(memory)

    def rows(self, more: int) -> list[Row]:
        found: list[Row] = []
        for delay_ms in self.delays_ms:
            picks = self._ask(op="calibrate", delay_ms=delay_ms)
            for size in SIZES:
                asked = {"size": size, "rounds": ROUNDS * more, "seconds": CELL_S * more}
                times = self._ask(op="measure", **asked)
                found += self._cell(size, delay_ms, times, picks[str(size)])
            if self.gloo and delay_ms == 0:
                for size in SIZES:
                    runs = self._ask(op="gloo", size=size)["gloo"]
                    found.append(self._row(size, 0.0, "gloo", runs))
        return found

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def _cell(
        self, size: int, delay_ms: float, times: dict[str, list[float]], pick: dict[str, Any]
    ) -> list[Row]:
        rows = []
        singles = [name for name in times if name in COLLECTIVES]
        even = {name: statistics.median(times[name][0::2]) for name in singles}
        odd = {name: statistics.median(runs[1::2]) for name, runs in times.items()}
        best = min(even, key=even.__getitem__)
        for name, runs in times.items():
            row = dict(self._row(size, delay_ms, name, runs))
            predicted = pick["predicted_us"]
            row["predicted_us"] = predicted.get(pick["name"] if name == "auto" else name)
            if name == "auto":
                row |= {
                    "chosen": pick["name"],
                    "regret": odd["auto"] / odd[best],
                    "overhead_us": pick["overhead_us"],
                }
            rows.append(row)
        return rows

    def _row(self, size: int, delay_ms: float, name: str, runs: Sequence[float]) -> Row:
        remote = LinkFacts(latency_s=delay_ms / 1e3, bandwidth=BANDWIDTH)
        ranks = Ranks(hosts=self.hosts, per_host=self.per_host, remote=remote, local=remote)
        return {
            "hosts": self.hosts,
            "ranks_per_host": self.per_host,
            "size_bytes": size,
            "delay_ms": delay_ms,
            "algorithm": name,
            "median_us": statistics.median(runs) * 1e6,
            "bound_us": bound_s(size, ranks) * 1e6 if self.hosts > 1 else None,
            "predicted_us": None,
            "chosen": None,
            "regret": None,
            "overhead_us": None,
        }

    def _ask(self, **asked: Any) -> dict[str, Any]:
        line = json.dumps(asked).encode() + b"\n"
        for process in self.processes:
            process.stdin.write(line)
            process.stdin.flush()
        answer = self.processes[0].stdout.readline()
        if not answer:
            raise SystemExit("A rank has ended; its messages are above.")
        return dict(json.loads(answer))


def _summary(rows: Sequence[Row]) -> None:
    regrets = [float(str(row["regret"])) for row in rows if row["regret"] is not None]
    for limit, wanted in ((1.10, 0.90), (1.25, 0.98)):
        share = sum(regret <= limit for regret in regrets) / max(1, len(regrets))
        print(f"regret <= {limit:.2f} in {share:.0%} of {len(regrets)} cells (wanted {wanted:.0%})")
    large = [
        float(str(row["median_us"])) / float(str(row["bound_us"]))
        for row in rows
        if row["algorithm"] == "auto"
        and row["bound_us"]
        and int(str(row["size_bytes"])) > 256 << 10
    ]
    if large:
        print(
            f"above 256 KiB auto takes {statistics.median(large):.2f}x the bound (median), "
            f"{max(large):.2f}x at most"
        )


class RankProcess:
    """One rank: does what it is told, in step with the others."""

    def __init__(self, rank: int, roster: Roster, memory_fd: int | None) -> None:
        member = roster.members[rank]
        local = roster.hosts[member.host]
        memory = None
        if memory_fd is not None:
            place = local.index(rank)
            memory = shared.HostMemory(memory_fd, place, len(local), shared.SLOT_BYTES)
        listener = socket.create_server((member.address, member.port), backlog=64)
        self.roster = roster
        self.device = member.device
        self.group = join_mesh(roster, rank, listener, memory)
        self.delays = Delays(BANDWIDTH)
        self.is_delayed = False
        self.collectives: dict[str, Collective] = {}
        self.gloo: Any = None

    def calibrate(self, delay_ms: float, **_: Any) -> dict[str, Any]:
        self.delays.seconds = delay_ms / 1e3
        if delay_ms and not self.is_delayed:
            self.is_delayed, self.group = True, self._delayed()
        singles = {name: make(self.group) for name, make in COLLECTIVES.items()}
        auto = Auto(self.group, list(singles.values()))
        self.collectives = {**singles, "auto": auto}
        if self.device != "cpu":
            import torch
            from cards import on_cards

            self.collectives = on_cards(self.collectives, self.group, torch.device(self.device))
        return {
            str(size): {
                "name": auto.pick(size),
                "overhead_us": _overhead_us(auto, size),
                "predicted_us": {name: auto.predicted_s(name, size) * 1e6 for name in singles},
            }
            for size in SIZES
        }

    def measure(self, size: int, rounds: int, seconds: float) -> dict[str, list[float]]:
        buffer = Buffer(memoryview(bytearray(size)), "float32")
        every = list(self.collectives)
        self._rounds(buffer, every, 1, math.inf)  # touches memory for the first time
        times = self._rounds(buffer, every, TRIAL_ROUNDS, math.inf)
        tried = agreed(self.group, times, _slowest_rank)
        limit = HOPELESS * min(map(statistics.median, tried.values()))
        close = [name for name in every if statistics.median(tried[name]) <= limit]
        further = self._rounds(buffer, {*close, "auto"}, rounds, seconds)
        together = {name: times[name] + further.get(name, []) for name in every}
        return agreed(self.group, together, _slowest_rank)

    def _rounds(
        self, buffer: Buffer, names: Collection[str], rounds: int, seconds: float
    ) -> dict[str, list[float]]:
        """The algorithms in turns, in another order each time."""
        repeats = 8 if len(buffer.data) <= 64 << 10 else 1
        times: dict[str, list[float]] = {name: [] for name in sorted(names)}
        started, shuffled, done, going = time.perf_counter(), random.Random(1), 0, True
        while going:
            for name in shuffled.sample(list(times), len(times)):
                agreed(self.group, {}, lambda words: {})  # all ranks begin together
                began = time.perf_counter()
                for _ in range(repeats):
                    self.collectives[name].all_reduce(buffer)
                times[name].append((time.perf_counter() - began) / repeats)
            done += 1
            mine = {"going": done < rounds and time.perf_counter() - started < seconds}
            going = agreed(self.group, mine, lambda words: words[0])["going"]
        return times

    def run_gloo(self, size: int) -> dict[str, list[float]]:
        os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # addresses here have no names to be found
        import torch
        import torch.distributed as dist

        if self.gloo is None:
            torch.set_num_threads(1)
            ranks = self.group.topology.ranks
            os.environ["GLOO_SOCKET_IFNAME"] = "eth0"
            store = dist.TCPStore(
                self.roster.members[0].address,
                STORE_PORT,
                len(ranks),
                is_master=self.group.rank == 0,
            )
            dist.init_process_group(
                "gloo", store=store, rank=self.group.rank, world_size=len(ranks)
            )
            self.gloo = dist
        x = torch.zeros(size // 4)
        runs = []
        for _ in range(8 if size <= 512 << 10 else 3):
            began = time.perf_counter()
            self.gloo.all_reduce(x)
            runs.append(time.perf_counter() - began)
        return {"gloo": runs[1:]}

    def _delayed(self) -> Group:
        """The same links, delayed where they go to ranks of other hosts."""
        local = self.group.topology.local(self.group.rank)
        links = {
            peer: link if peer in local else self.delays.wrap(link)
            for peer, link in self.group.links.items()
        }
        return replace(self.group, links=links)


def _slowest_rank(words: list[dict[str, Any]]) -> dict[str, Any]:
    """A collective has ended when it has ended on every rank."""
    by_round = {name: zip(*(word[name] for word in words), strict=True) for name in words[0]}
    return {name: [max(runs) for runs in rounds] for name, rounds in by_round.items()}


def _overhead_us(auto: Auto, size: int) -> float:
    began = time.perf_counter()
    for _ in range(1000):
        auto._by_size.get(size)
    return (time.perf_counter() - began) * 1e3


def rank_main() -> None:
    rank, roster = int(sys.argv[2]), from_json(Roster, json.loads(sys.argv[3]))
    memory = int(sys.argv[4]) if len(sys.argv) > 4 else None
    process = RankProcess(rank, roster, memory)
    operations = {
        "calibrate": process.calibrate,
        "measure": process.measure,
        "gloo": process.run_gloo,
    }
    for line in sys.stdin:
        asked = json.loads(line)
        faulthandler.dump_traceback_later(LONGEST_S, exit=True)
        answer = operations[asked.pop("op")](**asked)
        faulthandler.cancel_dump_traceback_later()
        if rank == 0:
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    rank_main() if "--rank" in sys.argv else main()
