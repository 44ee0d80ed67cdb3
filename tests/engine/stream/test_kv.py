"""Keys and values that live in the host's memory, beside those that stay on the device."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.paged import piece
from tests.engine.stream.late_lanes import late_lanes
from tests.engine.stream.texts import PAGE, PAGES, Texts

from banyan.core.errors import EngineFailed
from banyan.engine.batch import Batch
from banyan.engine.kv import CacheSize, PagedKV
from banyan.engine.pools import plane_bytes
from banyan.engine.stream.direct import DirectFile
from banyan.engine.stream.disk_pages import DiskPages
from banyan.engine.stream.kv import StreamedKV
from banyan.engine.stream.kv_choice import SCALE_PLANES
from banyan.engine.stream.lanes import Lanes
from banyan.engine.stream.thread_lane import threads

HEADS, KV_HEADS, WIDTH = 4, 2, 8
CPU = torch.device("cpu")


def size(layers: int, kept: torch.dtype | None = None) -> CacheSize:
    return CacheSize(
        layers=layers,
        kv_heads=KV_HEADS,
        head_dim=WIDTH,
        pages=PAGES,
        page_size=PAGE,
        dtype=torch.float32,
        kept=kept,
        device=CPU,
    )


def attend_alike(streamed: StreamedKV, seed: int, steps: int, kept: torch.dtype) -> None:
    """Random batches give what a cache that stays gives, bit for bit."""
    torch.manual_seed(seed)
    texts = Texts(seed)
    resident = PagedKV(size(len(streamed.layers), kept))
    for _ in range(steps):
        attend_both(streamed, resident, texts.batch())


def attend_both(streamed: StreamedKV, resident: PagedKV, batch: Batch) -> None:
    for ours, theirs in zip(streamed.layers, resident.layers, strict=True):
        q = torch.randn(len(batch.tokens), HEADS, WIDTH)
        k, v = (torch.randn(len(batch.tokens), KV_HEADS, WIDTH) for _ in range(2))
        expected = theirs.attend(q, k, v, batch, scale=0.3, window=None)
        assert torch.equal(ours.attend(q, k, v, batch, scale=0.3, window=None), expected)


def on_disk(folder: Path, layers: int, kept: torch.dtype = torch.float32) -> StreamedKV:
    planes = 2 * plane_bytes((PAGES, PAGE, KV_HEADS, WIDTH), kept)
    stay = SCALE_PLANES if kept == torch.int8 else ()
    far = DiskPages(folder, layers=layers, pages=PAGES, plane_bytes=planes, stay=stay)
    return StreamedKV(size(layers, kept), lanes=threads(), far=far)


kept_types = st.sampled_from([torch.float32, torch.bfloat16, torch.int8])


@settings(max_examples=25, deadline=None)
@given(layers=st.integers(1, 5), seed=st.integers(0, 10_000), kept=kept_types)
def test_what_is_attended_to_is_the_same_however_late_the_copies_are(layers, seed, kept):
    streamed = StreamedKV(size(layers, kept), lanes=late_lanes())
    attend_alike(streamed, seed, 6, kept)
    streamed.close()


@settings(max_examples=8, deadline=None)
@given(layers=st.integers(1, 5), seed=st.integers(0, 10_000), kept=kept_types)
def test_what_is_attended_to_is_the_same_from_a_disk(layers, seed, kept):
    with TemporaryDirectory() as folder:
        streamed = on_disk(Path(folder), layers, kept)
        attend_alike(streamed, seed, 6, kept)
        streamed.close()


def test_a_device_holds_two_layers_of_many():
    streamed = StreamedKV(size(5), lanes=Lanes.of(CPU))
    attend_alike(streamed, 1, 2, torch.float32)
    assert streamed.near_bytes * 5 == streamed.size_bytes * 2


def test_a_failed_read_fails_its_step_and_the_next_reads_again(tmp_path, monkeypatch):
    streamed = on_disk(tmp_path, 3)
    resident = PagedKV(size(3))
    texts = Texts(3)
    attend_both(streamed, resident, texts.batch())
    batch = texts.batch()
    with monkeypatch.context() as broken:
        broken.setattr(DirectFile, "read_into", refused)
        with pytest.raises(EngineFailed, match="could not be read from the disk: Input/output"):
            attend_both(streamed, resident, batch)
    attend_both(streamed, resident, batch)
    streamed.close()


def test_pages_that_could_not_be_written_are_never_read_until_they_are_written_anew(
    tmp_path, monkeypatch
):
    streamed = on_disk(tmp_path, 3)
    resident = PagedKV(size(3))
    ids, pages = [0] * 20, [7, 3, 9, 1, 2]
    with monkeypatch.context() as broken:
        broken.setattr(DirectFile, "write_from", refused)
        attend_both(streamed, resident, piece(ids, 0, 6, pages, PAGE))
        with pytest.raises(EngineFailed, match="could not be written to the disk"):
            attend_both(streamed, resident, piece(ids, 6, 7, pages, PAGE))
    for begin, end in [(0, 6), (6, 7), (7, 20)]:  # another sequence has got the same pages
        attend_both(streamed, resident, piece(ids, begin, end, pages, PAGE))
    streamed.close()


def refused(*_: object) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_a_disk_without_room_says_so_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(EngineFailed, match=r"could not be set aside .*: No space left on device"):
        on_disk(tmp_path, 3)
    assert not list(tmp_path.iterdir())


def test_the_file_has_no_name_and_closing_ends_the_threads(tmp_path):
    streamed = on_disk(tmp_path, 3)
    attend_alike(streamed, 1, 2, torch.float32)
    assert not list(tmp_path.iterdir())
    streamed.close()
    streamed.close()
    assert not {"kv reader", "kv writer"} & {thread.name for thread in threading.enumerate()}
