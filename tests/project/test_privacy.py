"""Nothing that ships names the machine it was written on or an index it was installed from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORBIDDEN = [
    re.compile(r"/(?:work|farm)/"),
    re.compile(r"/root/\.pyenv"),
    re.compile(r"(?:pypi|files\.pythonhosted)\.(?:org|python)"),
    re.compile(r"registry\.npmjs"),
    re.compile(r"https?://[^ \"]*(?:/simple\b|deb\.debian)"),
]


def test_tracked_files_hold_no_path_of_a_machine_and_no_index_address() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    for name in filter(None, tracked):
        path = ROOT / name
        if path == Path(__file__) or not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", errors="ignore")
        for pattern in FORBIDDEN:
            found = pattern.search(text)
            assert found is None, f"{name}: {found.group(0) if found else ''}"
