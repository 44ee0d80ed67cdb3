"""What every test may use: a home with the packaged models, and what the machine can do."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

REQUIRED = frozenset(filter(None, os.environ.get("BANYAN_REQUIRE", "").split(",")))


def skip_or_fail(need: str, reason: str) -> None:
    """Skip a test the machine cannot run; fail where ``BANYAN_REQUIRE`` names the need."""
    if need in REQUIRED:
        pytest.fail(f"{need} is required here: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def models_home() -> Path:
    """The home that ``make test`` pulled the packaged models into (never the user's own)."""
    home = Path(
        os.environ.get("BANYAN_TEST_HOME", Path(__file__).parent.parent / ".models")
    ).resolve()
    if not (home / "models" / "smollm2-135m-instruct").is_dir():
        skip_or_fail("models", f"no packaged models under {home}; `make test` pulls them")
    return home


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slice", default="1/1", help="run part i of n of the selected tests (i/n)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the i-th of n parts, by the hash of each test's name, so that a part is stable."""
    part, _, parts = config.getoption("--slice").partition("/")
    if int(parts) > 1:
        kept = [i for i in items if zlib.crc32(i.nodeid.encode()) % int(parts) == int(part) - 1]
        dropped = [item for item in items if item not in set(kept)]
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept
