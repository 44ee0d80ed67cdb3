"""A part of a model arrives whole and right, or leaves nothing behind."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.toy import write_toy

from banyan.core.errors import CheckpointInvalid, ClusterError, HashMismatch
from banyan.core.layout import Layout
from banyan.core.types import Message
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.cluster import slices
from banyan.engine.cluster.slice_cache import SliceCache
from banyan.engine.cluster.slices import receive_slice, send_slice, slice_name
from banyan.engine.formation import ModelIdentity
from banyan.engine.slice_file import open_slice
from banyan.engine.template import ChatTemplate
from banyan.engine.tokenizer import Tokenizer
from banyan.plan.shares import tensor_parallel

NAME = "a.slice"


@pytest.fixture
def cache(tmp_path: Path) -> SliceCache:
    return SliceCache(tmp_path / "slices", 1 << 30)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The head's end and the worker's."""
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def whole(content: bytes) -> bytes:
    """A slice as it is sent."""
    return struct.pack(">Q", len(content)) + content + hashlib.sha256(content).digest()


def said(end: socket.socket, message: bytes) -> None:
    """Say that much and hang up."""
    end.sendall(message)
    end.shutdown(socket.SHUT_WR)


def kept(cache: SliceCache) -> list[Path]:
    return [path for path in cache.folder.iterdir() if path.suffix in (".slice", ".part")]


def silently(done: int, total: int) -> None:
    """Progress that nobody looks at."""


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def layout_of(path: Path) -> Layout:
    return tensor_parallel(open_checkpoint(path).config.shape, [1.0, 1.0])


def test_what_the_head_sends_is_a_checkpoint_of_that_share(
    tmp_path: Path, cache: SliceCache, pair: tuple[socket.socket, socket.socket]
) -> None:
    path = write_toy(tmp_path / "toy")
    share = layout_of(path).share(1)
    thread = in_thread(lambda: send_slice(pair[0], path, share))
    told: list[tuple[int, int]] = []
    with_it = receive_slice(pair[1], cache, NAME, lambda *far: told.append(far))
    thread.join(20)
    assert open_slice(with_it.path, share).tensors
    size = with_it.path.stat().st_size
    assert told[-1] == (size, size)
    with_it.close()


def test_rank_0_is_sent_what_turns_text_into_tokens_too(
    tmp_path: Path, cache: SliceCache, pair: tuple[socket.socket, socket.socket]
) -> None:
    path = write_toy(tmp_path / "toy")
    share = layout_of(path).share(0)
    thread = in_thread(lambda: send_slice(pair[0], path, share, leads=True))
    with_it = receive_slice(pair[1], cache, NAME, silently)
    thread.join(20)
    sent, own = Tokenizer.load(with_it.path), Tokenizer.load(path)
    for text in ("words, 12 of them", "<|start|>user\n", "多语 naïve\t"):
        for special in (True, False):
            assert sent.encode(text, special) == own.encode(text, special)
    assert (sent.bos_ids, sent.eos_ids) == (own.bos_ids, own.eos_ids)
    turns = [Message(role="user", content="Hello")]
    assert ChatTemplate.load(with_it.path).render(turns) == ChatTemplate.load(path).render(turns)
    with_it.close()


def test_a_slice_without_what_rank_0_needs_is_not_taken_for_one_that_has_it(
    tmp_path: Path, cache: SliceCache, pair: tuple[socket.socket, socket.socket]
) -> None:
    path = write_toy(tmp_path / "toy")
    share = layout_of(path).share(0)
    model = ModelIdentity(name="toy", digest="1", size_bytes=1)
    assert slice_name(model, share) != slice_name(model, share, leads=True)
    thread = in_thread(lambda: send_slice(pair[0], path, share))
    with_it = receive_slice(pair[1], cache, NAME, silently)
    thread.join(20)
    with pytest.raises(CheckpointInvalid):
        Tokenizer.load(with_it.path)
    with_it.close()


def test_a_name_is_that_of_one_share_of_one_checkpoint(tmp_path: Path) -> None:
    layout = layout_of(write_toy(tmp_path / "toy"))
    models = [ModelIdentity(name=name, digest=digest, size_bytes=1) for name, digest in
              (("a", "1"), ("b", "1"), ("a", "2"))]  # fmt: skip
    names = [slice_name(model, layout.share(0)) for model in models]
    assert names[0] == names[1] != names[2]
    assert slice_name(models[0], layout.share(1)) != names[0]


@pytest.mark.parametrize("place", [8, 20, -1], ids=["first", "middle", "digest"])
def test_a_damaged_slice_is_refused_and_leaves_nothing(
    cache: SliceCache, pair: tuple[socket.socket, socket.socket], place: int
) -> None:
    message = bytearray(whole(b"x" * 50))
    message[place] ^= 1
    said(pair[0], bytes(message))
    with pytest.raises(HashMismatch, match="damaged"):
        receive_slice(pair[1], cache, NAME, silently)
    assert kept(cache) == []


@settings(max_examples=25, deadline=None)
@given(content=st.binary(max_size=200), cut=st.integers(0, 240))
def test_half_a_slice_leaves_nothing_and_a_whole_one_is_what_was_sent(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cut: int
) -> None:
    cache = SliceCache(tmp_path_factory.mktemp("slices"), 1 << 20)
    message = whole(content)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        said(ours, message[:cut])
        if cut >= len(message):
            found = receive_slice(theirs, cache, NAME, silently)
            assert found.path.read_bytes() == content
            found.close()
        else:
            with pytest.raises(ClusterError, match="hung up in the middle"):
                receive_slice(theirs, cache, NAME, silently)
            assert kept(cache) == []


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, (1 << 30) + 1])
def test_a_length_beyond_the_cap_is_refused_before_a_byte_is_taken(
    cache: SliceCache, pair: tuple[socket.socket, socket.socket], length: int
) -> None:
    pair[0].sendall(struct.pack(">Q", length) + b"x" * 100)
    with pytest.raises(ClusterError, match="slice_cache_bytes"):
        receive_slice(pair[1], cache, NAME, silently)
    assert kept(cache) == []


def test_a_head_that_stops_in_the_middle_is_not_waited_for_for_ever(
    cache: SliceCache, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "SILENCE_S", 0.2)
    pair[0].sendall(whole(b"x" * 50)[:30])
    with pytest.raises(ClusterError, match="could not be received"):
        receive_slice(pair[1], cache, NAME, silently)
    assert kept(cache) == []
