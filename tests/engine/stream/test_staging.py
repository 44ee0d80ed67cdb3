"""The staging file: whole or not used, and each read looked at."""

from __future__ import annotations

import errno
import os
import shutil
from types import SimpleNamespace

import pytest
import torch

from banyan.core.errors import EngineFailed, StagingInvalid
from banyan.engine.feed_forward import GatedFfn
from banyan.engine.linear import Dense
from banyan.engine.norm import RmsNorm
from banyan.engine.stream import staging as staging_module
from banyan.engine.stream.direct import ALIGNMENT, DirectFile, aligned
from banyan.engine.stream.staging import TAIL, Staging, check_space, write_staging
from banyan.engine.weights import LayerWeights

WIDTH = 64


def layer(number: int) -> LayerWeights:
    def matrix(rows: int) -> Dense:
        return Dense(torch.full((rows, WIDTH), float(number)))

    return LayerWeights(
        qkv=matrix(3 * WIDTH),
        output=matrix(WIDTH),
        ffn=GatedFfn(matrix(2 * WIDTH), matrix(WIDTH), "silu"),
        attention_norm=RmsNorm.of(torch.ones(WIDTH), 1e-5),
        ffn_norm=RmsNorm.of(torch.ones(WIDTH), 1e-5),
    )


@pytest.fixture
def path(tmp_path):
    target = tmp_path / "deep" / "some.staging"
    write_staging(target, (layer(number + 1) for number in range(4)))
    return target


def read(staging: Staging, number: int) -> LayerWeights:
    return staging.read(number, aligned(staging.layers[number].size_bytes))


def test_every_layer_comes_back_from_any_place_and_in_any_order(path):
    staging = Staging(path)
    for number in (2, 0, 3, 1, 1):
        weights = read(staging, number)
        assert torch.equal(weights.qkv.weight, layer(number + 1).qkv.weight)
    staging.close()


def test_layers_lie_where_a_disk_can_read_them_directly(path):
    staging = Staging(path)
    assert all(entry.offset % ALIGNMENT == 0 for entry in staging.layers)
    assert all(entry.size_bytes % ALIGNMENT == 0 for entry in staging.layers)
    staging.close()


def test_nothing_else_is_left_in_the_folder(path):
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("cut", [1, TAIL.size, 1000, 40_000])
def test_a_truncated_file_is_not_used(path, cut):
    os.truncate(path, path.stat().st_size - cut)
    with pytest.raises(StagingInvalid):
        Staging(path)


def test_a_file_that_was_touched_is_not_used(path):
    with path.open("r+b") as file:
        file.write(b"x")
    with pytest.raises(StagingInvalid, match="changed after"):
        Staging(path)


def test_a_damaged_manifest_is_not_used(path):
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(status.st_size - TAIL.size - 20)
        file.write(b"#")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(StagingInvalid, match="manifest is damaged"):
        Staging(path)


@pytest.mark.parametrize("content", [b"", b"short", bytes(10_000)])
def test_any_other_file_is_not_used(tmp_path, content):
    (tmp_path / "x.staging").write_bytes(content)
    with pytest.raises(StagingInvalid):
        Staging(tmp_path / "x.staging")


def test_a_change_while_it_is_open_is_found_by_the_next_read(path):
    staging = Staging(path)
    with path.open("r+b") as file:
        file.write(b"x")
    with pytest.raises(StagingInvalid, match="changed after"):
        read(staging, 0)
    staging.close()


def test_a_block_that_is_not_what_was_written_is_found_although_the_time_is_right(path):
    staging = Staging(path)
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(staging.layers[1].offset + 4 * ALIGNMENT)
        file.write(bytes(ALIGNMENT))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(StagingInvalid, match="layer 1 is not what was written"):
        read(staging, 1)
    read(staging, 0)
    staging.close()


def test_a_file_that_shrinks_while_it_is_open_is_found(path):
    staging = Staging(path)
    os.truncate(path, staging.layers[3].offset + 10)
    with pytest.raises(StagingInvalid):
        read(staging, 3)
    staging.close()


def test_a_read_error_is_told_with_the_layer(path, monkeypatch):
    def fails(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    staging = Staging(path)
    monkeypatch.setattr(DirectFile, "read_into", fails)
    with pytest.raises(EngineFailed, match="Layer 2 could not be read") as caught:
        read(staging, 2)
    assert "disk" in caught.value.remedy
    staging.close()


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(DirectFile, "write_from", fails)
    with pytest.raises(EngineFailed, match="No space left") as caught:
        write_staging(tmp_path / "x.staging", [layer(1)])
    assert "Free space" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_is_told_before_anything_is_written(path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5 << 20))
    with pytest.raises(EngineFailed, match=r"take 7 MiB.*has 5 MiB free") as caught:
        check_space(path, 7 << 20)
    assert "other models or settings" in caught.value.remedy
    check_space(path, 5 << 20)


def test_what_a_killed_process_left_is_swept_and_what_others_write_is_not(tmp_path):
    gone, living = (tmp_path / f"x.{pid}-1.part" for pid in (2**22 + 1, os.getpid()))
    gone.touch()
    living.touch()
    write_staging(tmp_path / "x.staging", [layer(1)])
    assert not gone.exists()
    assert living.exists()


def test_a_disk_that_forgets_is_found_while_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(DirectFile, "write_from", lambda self, buffer, offset: None)
    with pytest.raises(EngineFailed, match="does not give back"):
        write_staging(tmp_path / "x.staging", [layer(1)])
    assert list(tmp_path.iterdir()) == []


def test_weights_that_cannot_be_read_leave_nothing(tmp_path):
    def layers():
        yield layer(1)
        raise EngineFailed("no more")

    with pytest.raises(EngineFailed, match="no more"):
        write_staging(tmp_path / "x.staging", layers())
    assert list(tmp_path.iterdir()) == []


def test_without_direct_access_the_file_is_read_all_the_same(path, monkeypatch):
    real = os.open

    def refuses(name, flags, mode=0o777):
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(name, flags, mode)

    monkeypatch.setattr(os, "open", refuses)
    write_staging(path, [layer(7)])
    staging = Staging(path)
    assert not staging.is_direct
    assert torch.equal(read(staging, 0).qkv.weight, layer(7).qkv.weight)
    staging.close()


def test_the_probe_sees_one_word_of_every_block():
    data = bytearray(8 * ALIGNMENT)
    before = staging_module.probe(memoryview(data))
    data[5 * ALIGNMENT] = 1
    assert staging_module.probe(memoryview(data)) != before
