"""How long an All-Reduce of a card's numbers takes: two hosts of a card each, and NCCL in one host.

    PYTHONPATH=src:bench python bench/cards.py     # on a machine with two cards

The hosts are network namespaces at 1 Gbit/s; numbers go through pinned memory. With
``ranks_per_host`` 4 four ranks share each card, which NCCL refuses.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time

import netns
from table import Row, report

from banyan.core.layout import from_json, to_json
from banyan.engine.comm import shared
from banyan.engine.comm.roster import Member, Roster

SIZES = [8 << 10, 64 << 10, 512 << 10, 4 << 20, 16 << 20]
WAYS = ["star", "tree", "exchange", "auto"]
PORT = 7300
RUNS = 5


def main() -> None:
    rows: list[Row] = []
    for hosts, per_host in ((2, 1), (2, 4), (1, 2)):
        with netns.hosts(hosts) as made:
            rows += _measured(made, per_host)
    report("cards", rows)


def _measured(made: list[netns.Host], per_host: int) -> list[Row]:
    one_host = len(made) == 1
    members = tuple(
        Member(
            rank=h * per_host + i,
            host=h,
            address=made[h].address,
            port=PORT + i,
            device=f"cuda:{i if one_host else h}",
        )
        for h in range(len(made))
        for i in range(per_host)
    )
    roster = json.dumps(to_json(Roster(group_id="c", key=os.urandom(32).hex(), members=members)))
    processes = []
    for h, host in enumerate(made):
        memory = shared.create(per_host) if per_host > 1 else None
        for member in members[h * per_host : (h + 1) * per_host]:
            command = [sys.executable, __file__, str(member.rank), roster]
            command += [str(memory)] if memory is not None else []
            fds = () if memory is None else (memory,)
            processes.append(host.popen(command, stdout=subprocess.PIPE, pass_fds=fds))
    said, _ = processes[0].communicate(timeout=300)
    for process in processes:
        process.kill()
        process.wait()
    return [
        {"hosts": len(made), "ranks_per_host": per_host, **row} for row in json.loads(said or "[]")
    ]


def rank_main() -> None:
    import torch

    from banyan.engine.comm.cards import CardsComm
    from banyan.engine.comm.choose import make_collective
    from banyan.engine.comm.measure import agreed
    from banyan.engine.comm.mesh import join_mesh
    from banyan.engine.comm.tensors import GroupComm

    rank, roster = int(sys.argv[1]), from_json(Roster, json.loads(sys.argv[2]))
    member = roster.members[rank]
    local = roster.hosts[member.host]
    memory = None
    if len(sys.argv) > 3:
        place = local.index(rank)
        memory = shared.HostMemory(int(sys.argv[3]), place, len(local), shared.SLOT_BYTES)
    listener = socket.create_server((member.address, member.port), backlog=64)
    group = join_mesh(roster, rank, listener, memory)
    device = torch.device(member.device)
    ways = {name: GroupComm(make_collective(group, name, "exact")) for name in WAYS}
    if len(roster.hosts) == 1:
        ways["nccl"] = CardsComm(group, device, None)
    rows = []
    for size in SIZES:
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(RUNS):
            for name, comm in ways.items():
                x = torch.ones(size // 2, dtype=torch.bfloat16, device=device)
                torch.cuda.synchronize(device)
                agreed(group, {}, lambda words: {})  # all ranks begin together, the links empty
                began = time.perf_counter()
                x = comm.all_reduce(x)
                torch.cuda.synchronize(device)
                times[name].append(time.perf_counter() - began)
                if not bool((x == len(roster.members)).all()):
                    raise SystemExit(f"{name} gave a wrong sum")
        rows += [
            {"size_bytes": size, "algorithm": name, "median_us": statistics.median(runs) * 1e6}
            for name, runs in times.items()
        ]
    if rank == 0:
        print(json.dumps(rows), flush=True)
    time.sleep(1)


if __name__ == "__main__":
    rank_main() if len(sys.argv) > 1 else main()
