"""What a worker keeps of models stays under its cap, and what is in use stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banyan.core.errors import ClusterError
from banyan.engine.cluster import slice_cache
from banyan.engine.cluster.slice_cache import PART, Slice, SliceCache
from banyan.engine.slice_file import SUFFIX


def put(cache: SliceCache, name: str, size: int) -> Slice:
    with cache.room(size) as file:
        file.write(b"x" * size)
        file.flush()
        return cache.keep(file, name + SUFFIX)


def names(cache: SliceCache) -> set[str]:
    return {path.stem for path in cache.folder.iterdir() if path.suffix == SUFFIX}


def total(cache: SliceCache) -> int:
    kept = [path for path in cache.folder.iterdir() if path.suffix in (SUFFIX, PART)]
    return sum(path.stat().st_size for path in kept)


def test_what_was_kept_is_found_again(tmp_path: Path) -> None:
    put(SliceCache(tmp_path, 100), "a", 60).close()
    found = SliceCache(tmp_path, 100).find("a" + SUFFIX)
    assert found is not None
    assert found.path.read_bytes() == b"x" * 60
    found.close()


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = SliceCache(tmp_path, 100)
    for number, name in enumerate("abc"):
        put(cache, name, 30).close()
        os.utime(tmp_path / (name + SUFFIX), (number, number))
    found = cache.find("a" + SUFFIX)  # used again just now
    assert found is not None
    found.close()
    put(cache, "d", 40).close()
    assert names(cache) == {"a", "c", "d"}


def test_what_is_in_use_never_goes_and_the_error_shows_the_arithmetic(tmp_path: Path) -> None:
    cache = SliceCache(tmp_path, 10_000_000)
    used = put(cache, "a", 6_000_000)
    put(cache, "b", 1_000_000).close()
    with pytest.raises(
        ClusterError, match=r"5\.0 MB .*slice_cache_bytes is 10\.0 MB.* 6\.0 MB"
    ) as no:
        put(SliceCache(tmp_path, 10_000_000), "c", 5_000_000)
    assert "BANYAN_SLICE_CACHE_BYTES" in no.value.remedy
    assert names(cache) == {"a", "b"}, "nothing goes for what does not fit anyway"
    used.close()
    put(cache, "c", 5_000_000).close()
    assert names(cache) == {"b", "c"}


def test_a_slice_beyond_the_cap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="slice_cache_bytes"):
        put(SliceCache(tmp_path, 10), "a", 11)


def test_a_slice_beyond_the_free_disk_is_refused_and_nothing_goes_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = SliceCache(tmp_path, 1 << 30)
    put(cache, "a", 2_000_000).close()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 9, 3_000_000))
    with pytest.raises(ClusterError, match=r"5\.0 MB of the disk can be had"):
        put(cache, "b", 6_000_000)
    assert names(cache) == {"a"}
    put(cache, "c", 4_000_000).close()
    assert names(cache) == {"c"}, "what is unused goes for want of disk, too"


def test_a_disk_that_refuses_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(slice_cache.os, "posix_fallocate", refuse)
    with pytest.raises(ClusterError, match="No space left on device"):
        put(SliceCache(tmp_path, 100), "a", 10)
    assert total(SliceCache(tmp_path, 100)) == 0


def test_half_a_slice_is_never_found_and_its_space_is_free_again(tmp_path: Path) -> None:
    cache = SliceCache(tmp_path, 100)
    with pytest.raises(RuntimeError), cache.room(80) as file:
        file.write(b"half")
        raise RuntimeError
    assert total(cache) == 0
    put(cache, "b", 90).close()


def test_what_a_killed_worker_left_half_written_goes(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from banyan.engine.cluster.slice_cache import SliceCache\n"
        "with SliceCache(Path(sys.argv[1]), 100).room(80) as file:\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    cache = SliceCache(tmp_path, 100)
    assert total(cache) == 80
    put(cache, "a", 90).close()
    assert total(cache) == 90


def test_what_is_being_written_counts_and_stays(tmp_path: Path) -> None:
    cache = SliceCache(tmp_path, 100)
    with cache.room(60) as file:
        with pytest.raises(ClusterError, match="in use"):
            put(SliceCache(tmp_path, 100), "b", 50)
        file.write(b"y" * 60)
        file.flush()
        cache.keep(file, "a" + SUFFIX).close()
    assert names(cache) == {"a"}


def test_of_two_that_fetch_the_same_one_is_kept_and_both_have_it(tmp_path: Path) -> None:
    one, other = SliceCache(tmp_path, 100), SliceCache(tmp_path, 100)
    with one.room(30) as file:
        file.write(b"x" * 30)
        file.flush()
        second = put(other, "a", 30)
        first = one.keep(file, "a" + SUFFIX)
    assert first.path == second.path
    assert total(one) == 30
    first.close()
    with pytest.raises(ClusterError, match="in use"):
        put(one, "b", 80)  # the other still uses it
    second.close()


def test_one_that_goes_just_as_it_is_found_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = SliceCache(tmp_path, 100)
    put(cache, "a", 30).close()
    real = slice_cache.fcntl.flock

    def after_another_removed_it(file: BinaryIO, kind: int) -> None:
        (tmp_path / ("a" + SUFFIX)).unlink()
        (tmp_path / ("a" + SUFFIX)).write_bytes(b"another")
        real(file, kind)

    monkeypatch.setattr(slice_cache.fcntl, "flock", after_another_removed_it)
    assert cache.find("a" + SUFFIX) is None


def test_many_workers_of_one_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    failures: list[Exception] = []

    def work(number: int) -> None:
        cache = SliceCache(tmp_path, 1000)
        for turn in range(30):
            name = f"{(number + turn) % 5}"
            try:
                found = cache.find(name + SUFFIX) or put(cache, name, 100)
                assert found.path.stat().st_size == 100
                found.close()
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert total(SliceCache(tmp_path, 1000)) <= 1000


STEPS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 60), st.booleans()), max_size=25
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, cap=st.integers(1, 120))
def test_whatever_is_asked_the_cap_holds_and_what_is_used_stays(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, bool]], cap: int
) -> None:
    """Beside a plain list as the model: newest last, those in use marked."""
    cache = SliceCache(tmp_path_factory.mktemp("cache"), cap)
    model: dict[str, int] = {}
    using: dict[str, Slice] = {}
    for clock, (name, size, keeps) in enumerate(steps):
        found = cache.find(name + SUFFIX)
        assert (found is not None) == (name in model)
        if found is None:
            found = fetched(cache, model, using, name, size)
        if found is not None:
            model[name] = model.pop(name)
            os.utime(found.path, ns=(clock, clock))
            if keeps and name not in using:
                using[name] = found
            else:
                found.close()
                if not keeps and name in using:
                    using.pop(name).close()
        assert names(cache) == set(model)
        assert total(cache) == sum(model.values()) <= cap
    for held in using.values():
        held.close()


def fetched(
    cache: SliceCache, model: dict[str, int], using: dict[str, Slice], name: str, size: int
) -> Slice | None:
    """A slice that was not there, as far as there can be room for it; ``model`` follows."""
    held = sum(model[one] for one in using)
    if held + size > cache.cap_bytes:
        with pytest.raises(ClusterError):
            put(cache, name, size)
        return None
    idle = [one for one in model if one not in using]
    while sum(model.values()) + size > cache.cap_bytes:
        del model[idle.pop(0)]
    model[name] = size
    return put(cache, name, size)
