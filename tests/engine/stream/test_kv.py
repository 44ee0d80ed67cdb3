"""Keys and values that live in the host's memory, beside those that stay on the device."""

from __future__ import annotations

import random

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.stream.late_lanes import late_lanes

from banyan.engine.batch import Batch, Span
from banyan.engine.kv import PagedKV
from banyan.engine.stream.kv import StreamedKV
from banyan.engine.stream.lanes import Lanes

PAGE, PAGES, HEADS, KV_HEADS, WIDTH = 4, 40, 4, 2, 8
CPU = torch.device("cpu")
SIZES = {
    "kv_heads": KV_HEADS,
    "head_dim": WIDTH,
    "pages": PAGES,
    "page_size": PAGE,
    "dtype": torch.float32,
    "device": CPU,
}


class Texts:
    """Sequences that grow by random pieces; they end, and others get their pages."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._free = list(range(PAGES))
        self._random.shuffle(self._free)
        self._lengths: dict[int, int] = {}
        self._pages: dict[int, list[int]] = {}
        self._next = 0

    def batch(self) -> Batch:
        """Some sequences, new ones among them, with one or several new tokens each."""
        for number in [n for n in self._lengths if self._random.random() < 0.2]:
            self._free += self._pages.pop(number)
            del self._lengths[number]
        while not self._lengths or (len(self._lengths) < 4 and self._random.random() < 0.5):
            self._lengths[self._next], self._pages[self._next] = 0, []
            self._next += 1
        spans, rows, positions = [], 0, []
        for number in self._random.sample(list(self._lengths), len(self._lengths)):
            length = self._random.choice([1, 1, 2, 7])
            context = self._lengths[number] + length
            more = -(-context // PAGE) - len(self._pages[number])
            if more > len(self._free):
                continue
            self._pages[number] += [self._free.pop() for _ in range(more)]
            pages = tuple(self._pages[number])
            spans.append(
                Span(sequence_id=number, start=rows, length=length, context=context, pages=pages)
            )
            positions += range(self._lengths[number], context)
            self._lengths[number] = context
            rows += length
        return Batch(
            id=0,
            tokens=torch.zeros(rows, dtype=torch.int64),
            positions=torch.tensor(positions, dtype=torch.int64),
            spans=tuple(spans),
            logit_rows=torch.empty(0, dtype=torch.int64),
        )


def attend_alike(
    layers: int, seed: int, lanes: Lanes, steps: int, kept: torch.dtype = torch.float32
) -> StreamedKV:
    torch.manual_seed(seed)
    texts = Texts(seed)
    streamed = StreamedKV(layers=layers, lanes=lanes, kept=kept, **SIZES)
    resident = PagedKV(layers=layers, kept=kept, **SIZES)
    for _ in range(steps):
        batch = texts.batch()
        for ours, theirs in zip(streamed.layers, resident.layers, strict=True):
            q = torch.randn(len(batch.tokens), HEADS, WIDTH)
            k, v = (torch.randn(len(batch.tokens), KV_HEADS, WIDTH) for _ in range(2))
            found = ours.attend(q, k, v, batch, scale=0.3, window=None)
            assert torch.equal(found, theirs.attend(q, k, v, batch, scale=0.3, window=None))
    return streamed


@settings(max_examples=25, deadline=None)
@given(
    layers=st.integers(1, 5),
    seed=st.integers(0, 10_000),
    kept=st.sampled_from([torch.float32, torch.int8]),
)
def test_what_is_attended_to_is_the_same_however_late_the_copies_are(layers, seed, kept):
    attend_alike(layers, seed, late_lanes(), steps=6, kept=kept)


def test_a_device_holds_two_layers_of_many():
    streamed = attend_alike(5, 1, Lanes.of(CPU), steps=2)
    assert streamed.card_bytes * 5 == streamed.size_bytes * 2
    assert not streamed.is_pinned
