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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the i-th of n parts: the selected tests by the hash of their name, every n-th one."""
    part, _, parts = config.getoption("--slice").partition("/")
    if int(parts) > 1:
        ordered = sorted(items, key=lambda item: zlib.crc32(item.nodeid.encode()))
        kept = set(ordered[int(part) - 1 :: int(parts)])
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = [item for item in items if item in kept]
