"""A head and workers in this process, whose ranks are toy processes; rank 0 is one, too."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from tests.engine.toy import write_toy

from banyan.core.context import Context
from banyan.core.errors import BanyanError, ClusterDown, NotFound
from banyan.core.layout import Facts, Layout, ModelShape, to_json
from banyan.engine.cluster import rank_process
from banyan.engine.cluster.control import CONTROL
from banyan.engine.cluster.frames import HostReport, frame
from banyan.engine.cluster.head import Head
from banyan.engine.cluster.head_settings import HeadSettings
from banyan.engine.cluster.replica import Replica
from banyan.engine.cluster.slice_cache import SliceCache
from banyan.engine.cluster.worker import WorkerSettings, join
from banyan.engine.comm import handshake
from banyan.engine.comm.stream import Stream
from banyan.engine.config import EngineConfig
from banyan.engine.wire import Channel, Json
from banyan.plan.shares import tensor_parallel

TOKEN = "a token of the tests"
CONFIG = EngineConfig(precision="fp32", threads=1)
TOY_RANK = Path(__file__).with_name("toy_rank.py")


def absent(model: str) -> Path:
    """Finds no checkpoint on a host."""
    raise NotFound(model)


def use_toy_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank processes started from now on are toys."""
    monkeypatch.setattr(rank_process, "COMMAND", (sys.executable, str(TOY_RANK)))


@dataclass
class Toys:
    """A head that awaits ``hosts`` hosts, and the threads of those that have joined."""

    folder: Path
    hosts: int = 2
    port: int = 0
    local_ranks: int = 1
    step_timeout_s: float = 60.0
    names: tuple[str, ...] = ()
    pem: str = ""
    replicas: int = 1
    refusals: list[BanyanError] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.path = write_toy(self.folder / "toy")
        settings = HeadSettings(
            address="127.0.0.1",
            port=self.port,
            token=TOKEN,
            hosts=self.hosts,
            names=self.names,
            local_ranks=self.local_ranks,
            folder=self.folder / "head",
            step_timeout_s=self.step_timeout_s,
            pem=self.pem,
        )
        self.head = Head(settings, self._layouts)
        self._workers: list[tuple[str, Context, threading.Thread]] = []
        self._calls: dict[Replica, Stream] = {}  # as long as they are open, the ranks go on

    def _layouts(self, shape: ModelShape, kind: str, facts: Facts, _: int) -> list[Layout]:
        """Tensor parallel over equal parts of all ranks."""
        ranks = sum(len(host.devices) for host in facts.hosts) // self.replicas
        return [tensor_parallel(shape, [1.0] * ranks)] * self.replicas

    @property
    def replica(self) -> Replica:
        """The only one, or the first."""
        return self.head.replicas[0]

    def join(
        self,
        name: str,
        *,
        token: str = TOKEN,
        port: int = 0,
        ranks: int = 1,
        device: str = "cpu",
        find: Callable[[str], Path] = absent,
        tls: bool = False,
    ) -> Context:
        """Let a host join in a thread, until the context is cancelled; what it is refused with is
        kept."""

        settings = WorkerSettings(
            address="127.0.0.1",
            port=port or self.head.port,
            token=token,
            name=name,
            ranks=ranks,
            device=device,
            slices=SliceCache(self.folder / name, 1 << 30),
            find=find,
            tls=tls,
        )
        context = Context()

        def run() -> None:
            try:
                join(settings, context, self.events.append)
            except BanyanError as error:
                self.refusals.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._workers.append((name, context, thread))
        return context

    def leave(self, name: str) -> None:
        """Let the hosts of that name leave."""
        for known, context, thread in self._workers:
            if known == name:
                context.cancel.set()
                thread.join(10)

    @contextmanager
    def process(self, name: str, ranks: int = 1) -> Iterator[psutil.Process]:
        """A host that is a process of its own; it is killed at the end."""
        arguments = [str(self.head.port), name, str(self.folder / name), str(ranks)]
        command = [sys.executable, "-m", "tests.engine.cluster.toy_worker", *arguments]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            yield psutil.Process(process.pid)
        finally:
            process.kill()
            process.wait()

    def liar(
        self, name: str, answer: Callable[[Channel, Json], None], **report: object
    ) -> threading.Thread:
        """Let a host join that ``answer``s by itself whatever it is told but beats."""
        connection = socket.create_connection(("127.0.0.1", self.head.port), timeout=10)
        connection.settimeout(None)
        handshake.connect(connection, TOKEN.encode(), {"purpose": CONTROL})
        channel = Channel(connection)
        told = HostReport(name=name, ranks=1, device="cpu", cores=1, memory_bytes=1 << 30)
        channel.send({"op": "hello", "report": {**to_json(told), **report}})

        def run() -> None:
            for message in channel:
                try:
                    if message["op"] == "beat":
                        channel.send(frame("beat"))
                    else:
                        answer(channel, message)
                except OSError:
                    break
            channel.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def form(self, timeout_s: float = 30.0) -> None:
        """Form all groups, rank 0 being a toy like the others, and wait until they run. Raises
        ``ClusterDown`` for one that does not."""
        context = Context(deadline=time.monotonic() + timeout_s)
        for replica in self.deal(context):
            self.form_one(replica, context)

    def deal(self, context: Context | None = None) -> Sequence[Replica]:
        """The replicas, dealt now or before."""
        return self.head.replicas or self.head.deal(self.path, CONFIG, context or Context())

    def form_one(self, replica: Replica, context: Context) -> None:
        former = self._calls.pop(replica, None)
        if former is not None:
            former.close()
        self._calls[replica] = replica.form(self.path, "toy", CONFIG, context)
        wait_until(lambda: replica.is_ready or replica.cause)
        if replica.cause:
            raise ClusterDown(replica.cause)

    def rank_pids(self, replica: int = 0) -> dict[int, int]:
        group = self.head.replicas[replica].group
        found = {} if group is None else {rank: one.pid for rank, one in group.states.items()}
        assert 0 not in found.values(), "a signal to 0 would be one to the tests themselves"
        return found

    def close(self) -> None:
        for _, context, _ in self._workers:
            context.cancel.set()
        for _, _, thread in self._workers:
            thread.join(30)  # a busy machine takes its time
        self.head.close()
        for calls in self._calls.values():
            calls.close()


@contextmanager
def toys(
    folder: Path,
    *,
    hosts: int,
    port: int = 0,
    local_ranks: int = 1,
    step_timeout_s: float = 60.0,
    names: tuple[str, ...] = (),
    pem: str = "",
    replicas: int = 1,
) -> Iterator[Toys]:
    found = Toys(folder, hosts, port, local_ranks, step_timeout_s, names, pem, replicas)
    before = _rank_processes()
    try:
        yield found
    finally:
        found.close()
        assert _rank_processes() <= before


def _rank_processes() -> set[int]:
    return {child.pid for child in psutil.Process().children() if _is_rank(child)}


def _is_rank(process: psutil.Process) -> bool:
    try:
        return "toy_rank" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def wait_until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    """Fail the test when ``condition`` does not become true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
