"""Pages in a file come back as they were written, whatever runs they are moved in."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from banyan.engine.pools import pool_bytes, pool_over
from banyan.engine.stream import disk_pages
from banyan.engine.stream.direct import aligned
from banyan.engine.stream.disk_pages import DiskPages, buffer_bytes

PAGES = 9
runs = st.tuples(st.integers(0, PAGES - 1), st.integers(1, PAGES)).map(
    lambda pair: slice(pair[0], min(PAGES, pair[0] + pair[1]))
)


def planes(heads: int, width: int, kept: torch.dtype) -> tuple[torch.Tensor, ...]:
    shape = (PAGES, 4, heads, width)
    memory = [aligned(pool_bytes(shape, kept)) for _ in range(2)]
    pools = [pool_over(part, shape, kept, torch.float32) for part in memory]
    for pool in pools:
        pool.put(torch.arange(PAGES * 4), torch.randn(PAGES * 4, heads, width))
    return tuple(plane for pool in pools for plane in pool.planes)


@settings(max_examples=40, deadline=None)
@given(
    heads=st.integers(1, 3),
    width=st.sampled_from([2, 30, 256, 1024]),  # pages of planes of 4,096 bytes among them
    kept=st.sampled_from([torch.float32, torch.bfloat16, torch.int8]),
    stay=st.sampled_from([(), (1,)]),
    writes=st.lists(st.tuples(st.integers(0, 2), runs), min_size=1, max_size=6),
)
def test_what_is_read_is_what_was_written_last(heads, width, kept, stay, writes):
    sizes = [plane[0].nbytes for plane in planes(heads, width, kept)]
    with TemporaryDirectory() as folder:
        far = DiskPages(Path(folder), layers=3, pages=PAGES, plane_bytes=sizes, stay=stay)
        expected = {}
        for layer, run in writes:
            source = planes(heads, width, kept)
            far.write(layer, run, source)
            expected |= {(layer, page): source for page in range(run.start, run.stop)}
        for (layer, page), source in expected.items():
            target = planes(heads, width, kept)
            far.read(layer, slice(page, page + 1), target)
            for found, wanted in zip(target, source, strict=True):
                assert torch.equal(found[page], wanted[page])
        far.close()


def test_runs_longer_than_the_buffer_are_moved_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_pages, "CHUNK_BYTES", 3 * 4096)
    source, target = planes(2, 8, torch.bfloat16), planes(2, 8, torch.bfloat16)
    sizes = [plane[0].nbytes for plane in source]
    assert buffer_bytes(sum(sizes)) == 3 * 4096
    far = DiskPages(tmp_path, layers=1, pages=PAGES, plane_bytes=sizes)
    far.write(0, slice(0, PAGES), source)
    far.read(0, slice(1, PAGES), target)
    assert all(torch.equal(a[1:], b[1:]) for a, b in zip(source, target, strict=True))
    assert far.size_bytes == PAGES * 4096
    far.close()


def test_reading_past_the_end_is_an_error(tmp_path):
    near = planes(1, 8, torch.float32)
    far = DiskPages(tmp_path, layers=1, pages=2, plane_bytes=2 * [near[0][0].nbytes])
    with pytest.raises(disk_pages.EngineFailed, match="the file ends before them"):
        far.read(0, slice(0, PAGES), near)
    far.close()
