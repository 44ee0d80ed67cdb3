"""A machine is measured once; what it said is kept, and a failure is told and does no harm."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from banyan.core.layout import DeviceFacts, Rates, to_json
from banyan.engine.cluster import calibration
from banyan.engine.cluster.calibration import own_device

FACTS = DeviceFacts(
    kind="cpu",
    memory_bytes=8 * 10**9,
    weight_bandwidth=1e10,
    flops=1e11,
    copy_bandwidth=1e9,
    measured=(Rates(kind="bf16", weight_bandwidth=1e10, flops=1e11),),
)


@pytest.fixture
def measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The measuring process is a double; the file has a line for each time that it ran."""
    runs = tmp_path / "runs"
    script = f"import sys; open({str(runs)!r}, 'a').write(sys.argv[1] + chr(10)); "
    script += f"print({json.dumps(to_json(FACTS))!r})"
    monkeypatch.setattr(calibration, "COMMAND", (sys.executable, "-c", script))
    return runs


def test_a_machine_is_measured_once_and_for_each_of_its_devices(
    tmp_path: Path, measuring: Path
) -> None:
    told: list[str] = []
    for device in ("cpu", "cpu", "cuda:0", "cpu"):
        assert own_device(tmp_path / "home", device, told.append) == FACTS
    assert measuring.read_text().split() == ["cpu", "cuda:0"]
    assert len(told) == 2
    assert "once" in told[0]


def test_a_machine_with_other_cores_is_measured_anew(
    tmp_path: Path, measuring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_device(tmp_path, "cpu")
    monkeypatch.setattr(calibration, "available_cores", lambda: 1000)
    own_device(tmp_path, "cpu")
    assert measuring.read_text().split() == ["cpu", "cpu"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"kind": "abacus"}'])
def test_a_damaged_memory_is_measured_anew(tmp_path: Path, measuring: Path, damage: str) -> None:
    own_device(tmp_path, "cpu")
    (kept,) = tmp_path.glob("device-*.json")
    kept.write_text(damage)
    assert own_device(tmp_path, "cpu") == FACTS
    assert measuring.read_text().split() == ["cpu", "cpu"]


@pytest.mark.parametrize("script", ["raise SystemExit(3)", "print('nonsense')", "print('{}')"])
def test_what_cannot_be_measured_is_told_and_left_to_assumptions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(calibration, "COMMAND", (sys.executable, "-c", script))
    told: list[str] = []
    assert own_device(tmp_path, "cpu", told.append) is None
    assert "its rates will be assumed" in told[-1]
    assert not list(tmp_path.glob("device-*.json"))
