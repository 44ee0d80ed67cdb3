"""What the machine says of itself, containers' limits included."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from banyan.models import machine as machine_module
from banyan.models.machine import Gpu, machine_facts, port_is_free


def test_this_machine_is_described(tmp_path: Path) -> None:
    facts = machine_facts(tmp_path / "not" / "yet" / "there")
    assert facts.cores > 0
    assert 0 < facts.memory_available_bytes <= facts.memory_bytes
    assert facts.disk_free_bytes > 0
    assert facts.python == sys.version.split()[0]


def test_a_containers_limits_bound_cores_and_memory(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert machine_module._cores(tmp_path) == 0.5
    assert machine_module._memory_limit(tmp_path) == (1000, 400)


def test_files_that_are_only_cached_do_not_count_as_used_memory(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    (tmp_path / "memory.stat").write_text("anon 90\ninactive_file 300\nactive_file 10\n")
    assert machine_module._memory_limit(tmp_path) == (1000, 100)


def test_an_unlimited_container_is_the_whole_machine(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_module._cores(tmp_path) >= 1
    assert machine_module._memory_limit(tmp_path) == (sys.maxsize, 0)


def test_instruction_sets_come_from_either_kind_of_processor(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: Big CPU\nflags\t\t: fpu avx2 avx512_bf16\nflags : none\n")
    assert machine_module._processor(info) == ("Big CPU", {"fpu", "avx2", "avx512_bf16"})
    info.write_text("Features\t: fp asimd bf16\n")
    assert "asimd" in machine_module._processor(info)[1]
    assert machine_module._processor(tmp_path / "absent") == ("", frozenset())


@pytest.mark.parametrize(
    ("line", "gpu"),
    [
        (
            "NVIDIA H100 80GB HBM3, 81559",
            Gpu(name="NVIDIA H100 80GB HBM3", memory_bytes=81559 << 20),
        ),
        ("Odd, name, [N/A]", Gpu(name="Odd, name", memory_bytes=0)),
    ],
)
def test_a_gpus_line_is_read(line: str, gpu: Gpu) -> None:
    assert machine_module._gpu(line) == gpu


def test_a_port_that_is_listened_on_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not port_is_free("127.0.0.1", port)
    assert port_is_free("127.0.0.1", port)
