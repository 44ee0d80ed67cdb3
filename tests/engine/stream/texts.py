"""Sequences that come, grow and go, as batches."""

from __future__ import annotations

import random

import torch

from banyan.engine.batch import Batch, Span

PAGE, PAGES = 4, 40


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
