"""The measured peak: a control group's record where there is a limit, the process's elsewhere."""

from __future__ import annotations

import pytest

from banyan.engine.stream.peak import Peak, measured_peak


def group(folder, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


@pytest.fixture
def own(tmp_path):
    def write(content: str):
        (tmp_path / "own").write_text(content)
        return tmp_path / "own"

    return write


def test_version_2_is_read(tmp_path, own):
    group(tmp_path / "a" / "b", memory__max="1000\n", memory__peak="900\n")
    assert measured_peak(tmp_path, own("0::/a/b\n")) == Peak(peak=900, limit=1000)


def test_version_1_is_read(tmp_path, own):
    files = {"memory__limit_in_bytes": "500\n", "memory__max_usage_in_bytes": "400\n"}
    group(tmp_path / "memory" / "x", **files)
    lines = "3:cpu,cpuacct:/x\n2:memory:/x\n0::/\n"
    assert measured_peak(tmp_path, own(lines)) == Peak(peak=400, limit=500)


@pytest.mark.parametrize("limit", ["max", str((1 << 63) - 4096)])
def test_a_group_without_a_limit_says_nothing_of_this_process(tmp_path, own, limit):
    group(tmp_path / "a", memory__max=limit, memory__peak="900\n")
    found = measured_peak(tmp_path, own("0::/a\n"))
    assert found.limit == 0
    assert found.peak > 1 << 20


def test_without_control_groups_the_process_is_measured(tmp_path):
    assert measured_peak(tmp_path, tmp_path / "none").peak > 1 << 20
