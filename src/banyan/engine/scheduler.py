"""Scheduler: who runs in the next step, with which tokens and which pages of the KV cache.

Continuous batching at step level (Orca, OSDI 2022) over a paged KV cache (vLLM, SOSP 2023) with
chunked prefill (Sarathi-Serve, OSDI 2024): a step takes one token of every sequence that decodes,
then fills its token budget with pieces of prompts. First come, first served. When pages run out
the youngest sequence goes back to the queue and is computed again later. It holds no tensors but
those of the batches it hands out, and it never looks at what a token means.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

import torch

from banyan.core.errors import ContextTooLong, Overloaded
from banyan.engine.batch import Batch, Span
from banyan.engine.pages import PagePool
from banyan.engine.sequence import Prefix, Sequence

MAX_LOGIT_ROWS = 256
"""Rows of logits in one step; bounds their memory (256 rows of 262,144 floats are 256 MiB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a step and the queue may hold. ``depth`` batches may be outstanding at a time."""

    page_size: int = 16
    max_batch_tokens: int = 512
    max_sequences: int = 32
    max_waiting: int = 256
    depth: int = 1


class Scheduler:
    """Waiting and running sequences; ``next`` hands out work, ``finish`` takes its results."""

    def __init__(self, pool: PagePool, limits: Limits) -> None:
        self.pool = pool
        self.limits = limits
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []
        self._outstanding: dict[int, list[tuple[Sequence, int]]] = {}
        self._prefixes: list[Prefix] = []
        self._sequence_ids = count()
        self._batch_ids = count()

    @property
    def capacity(self) -> int:
        """The longest sequence (``max_length``) the KV cache can hold."""
        return self.pool.total * self.limits.page_size + 1

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    def add(
        self,
        tokens: list[int],
        *,
        max_length: int,
        next_logit: int,
        prefix: Prefix | None = None,
    ) -> Sequence:
        """Queue a sequence that has at least one position to compute.

        Raises ``ContextTooLong`` when it could never fit the KV cache, ``Overloaded`` when the
        queue is full.
        """
        if max_length > self.capacity:
            raise ContextTooLong(
                f"{len(tokens)} prompt tokens and up to {max_length - len(tokens)} new ones need "
                f"{self._pages_for(max_length - 1)} pages of {self.limits.page_size} tokens; "
                f"the KV cache has {self.pool.total}.",
                remedy="Send less, lower max_tokens, or raise kv_cache_bytes.",
            )
        if len(self.waiting) >= self.limits.max_waiting:
            raise Overloaded(
                f"{len(self.waiting)} requests wait already (max_waiting = "
                f"{self.limits.max_waiting}).",
                remedy="Retry in a moment, or raise max_waiting.",
            )
        sequence = Sequence(
            id=next(self._sequence_ids),
            tokens=list(tokens),
            max_length=max_length,
            next_logit=next_logit,
            prefix=prefix,
        )
        self.waiting.append(sequence)
        return sequence

    def share(self, length: int) -> Prefix | None:
        """A prefix of the whole pages within ``length`` tokens (None: not one page), held until
        ``unshare``."""
        whole = length - length % self.limits.page_size
        if whole == 0:
            return None
        prefix = Prefix(length=whole)
        self._prefixes.append(prefix)
        return prefix

    def unshare(self, prefix: Prefix) -> None:
        """Let go of a prefix; members that run keep their references to its pages."""
        self._drop_pages(prefix)
        self._prefixes.remove(prefix)

    def next(self) -> Batch | None:
        """The next step's work, or None while there is none to hand out."""
        if len(self._outstanding) >= self.limits.depth:
            return None
        step = _Step(self.limits.max_batch_tokens)
        idle = [sequence for sequence in self.running if sequence.batch_id is None]
        for sequence in idle:
            if sequence.pending == 1 and step.has_room(sequence) and self._grow(sequence):
                step.take(sequence)
        for sequence in idle:
            if sequence.pages and sequence.pending > 1 and step.has_room(sequence):
                step.take(sequence)
        self._admit_waiting(step)
        if not step.work:
            return None
        batch = step.batch(next(self._batch_ids))
        self._outstanding[batch.id] = step.work
        for sequence, _ in step.work:
            sequence.batch_id = batch.id
        return batch

    def finish(self, batch_id: int, tokens: Mapping[int, int]) -> None:
        """A batch has been computed; ``tokens`` holds the new token of each sequence id that drew
        one. Sequences that are complete, or were cancelled meanwhile, give their pages back."""
        for sequence, length in self._outstanding.pop(batch_id):
            sequence.batch_id = None
            if sequence.ended:
                self._free(sequence)
                continue
            sequence.computed += length
            sequence.next_logit = max(sequence.next_logit, sequence.computed)
            if sequence.id in tokens:
                sequence.tokens.append(tokens[sequence.id])
            self._publish(sequence)
            if sequence.is_complete:
                self.cancel(sequence)

    def cancel(self, sequence: Sequence) -> None:
        """End a sequence wherever it is; its pages are freed once no batch holds them."""
        if sequence.ended:
            return
        sequence.ended = True
        self._abdicate(sequence)
        if sequence in self.waiting:
            self.waiting.remove(sequence)
        else:
            self.running.remove(sequence)
            if sequence.batch_id is None:
                self._free(sequence)

    def _pages_for(self, tokens: int) -> int:
        return -(-tokens // self.limits.page_size)

    def _grow(self, sequence: Sequence) -> bool:
        """Give ``sequence`` the page its next token needs, at the cost of younger ones."""
        missing = self._pages_for(sequence.reach) - len(sequence.pages)
        if sequence.batch_id is not None or not sequence.pages:
            return False
        while missing > self.pool.free:
            if not (self._preempt_youngest(after=sequence) or self._drop_prefixes()):
                return False
        sequence.pages += self.pool.allocate(missing)
        return True

    def _admit_waiting(self, step: _Step) -> None:
        while self.waiting:
            head = self.waiting[0]
            if not (step.has_room(head) and self._admit(head)):
                return
            step.take(head)

    def _admit(self, sequence: Sequence) -> bool:
        """Move the head of the queue to the running ones if its known tokens fit.

        A page for each running sequence stays free, or the newcomer would soon be preempted.
        """
        prefix = sequence.prefix
        if len(self.running) >= self.limits.max_sequences:
            return False
        if prefix is not None and prefix.leader is not None:
            return False
        alone = not self.running and not self._outstanding
        need = self._pages_for(sequence.reach) - (len(prefix.pages) if prefix else 0)
        if need + len(self.running) > self.pool.free:
            if not alone:
                return False
            self._drop_prefixes()
            need = self._pages_for(sequence.reach)
        self._start_from_prefix(sequence)
        sequence.pages += self.pool.allocate(need)
        self.waiting.pop(0)
        insort(self.running, sequence, key=lambda entry: entry.id)
        return True

    def _start_from_prefix(self, sequence: Sequence) -> None:
        prefix = sequence.prefix
        if prefix is None:
            return
        if prefix.pages:
            self.pool.retain(prefix.pages)
            sequence.pages = list(prefix.pages)
            sequence.computed = prefix.length
        else:
            prefix.leader = sequence

    def _publish(self, sequence: Sequence) -> None:
        """Offer the leader's first pages to the other members once they are computed."""
        prefix = sequence.prefix
        if prefix is None or prefix.leader is not sequence or sequence.computed < prefix.length:
            return
        prefix.leader = None
        if prefix in self._prefixes:
            prefix.pages = tuple(sequence.pages[: self._pages_for(prefix.length)])
            self.pool.retain(prefix.pages)

    def _preempt_youngest(self, *, after: Sequence) -> bool:
        """Send the youngest sequence that is younger than ``after`` and in no batch back to its
        place in the queue; False if there is none."""
        for victim in reversed(self.running):
            if victim.id <= after.id:
                return False
            if victim.batch_id is None:
                self.running.remove(victim)
                self._abdicate(victim)
                self._free(victim)
                victim.computed = 0
                insort(self.waiting, victim, key=lambda entry: entry.id)
                return True
        return False

    def _abdicate(self, sequence: Sequence) -> None:
        if sequence.prefix is not None and sequence.prefix.leader is sequence:
            sequence.prefix.leader = None

    def _drop_prefixes(self) -> bool:
        """Let go of every published prefix; False if there was none."""
        held = [prefix for prefix in self._prefixes if prefix.pages]
        for prefix in held:
            self._drop_pages(prefix)
        return bool(held)

    def _drop_pages(self, prefix: Prefix) -> None:
        self.pool.release(prefix.pages)
        prefix.pages = ()

    def _free(self, sequence: Sequence) -> None:
        self.pool.release(sequence.pages)
        sequence.pages = []


class _Step:
    """A batch while it is being put together."""

    def __init__(self, max_tokens: int) -> None:
        self.tokens_left = max_tokens
        self.rows_left = MAX_LOGIT_ROWS
        self.work: list[tuple[Sequence, int]] = []

    def has_room(self, sequence: Sequence) -> bool:
        return self._room(sequence) > 0

    def take(self, sequence: Sequence) -> None:
        """Add as much of the sequence as there is room for."""
        length = min(sequence.pending, self._room(sequence))
        end = sequence.computed + length
        self.tokens_left -= length
        self.rows_left -= max(0, end - sequence.first_logit(sequence.computed))
        self.work.append((sequence, length))

    def _room(self, sequence: Sequence) -> int:
        silent = max(0, sequence.next_logit - sequence.computed)
        return min(self.tokens_left, silent + self.rows_left)

    def batch(self, batch_id: int) -> Batch:
        tokens: list[int] = []
        positions: list[int] = []
        logit_rows: list[int] = []
        spans: list[Span] = []
        for sequence, length in self.work:
            begin, end, row = sequence.computed, sequence.computed + length, len(tokens)
            tokens += sequence.tokens[begin:end]
            positions += range(begin, end)
            first = sequence.first_logit(begin)
            logit_rows += range(row + first - begin, row + length)
            spans.append(
                Span(
                    sequence_id=sequence.id,
                    start=row,
                    length=length,
                    context=end,
                    pages=tuple(sequence.pages),
                )
            )
        return Batch(
            id=batch_id,
            tokens=torch.tensor(tokens, dtype=torch.int64),
            positions=torch.tensor(positions, dtype=torch.int64),
            spans=tuple(spans),
            logit_rows=torch.tensor(logit_rows, dtype=torch.int64),
        )
