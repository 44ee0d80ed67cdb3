"""The step loop: one thread that asks the scheduler for a batch, runs it and hands out the tokens.

Requests come in and leave from any thread; the scheduler is only touched under the lock, and the
forward pass runs outside it. Up to ``depth`` batches are under way at a time (a pipeline has a
batch in each of its stages). Whatever a step raises ends the requests in it, never the engine;
only a lost rank (``ClusterError``) ends the loop, for the others wait for what will not come.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from banyan.core.errors import BanyanError, ClusterError, EngineFailed
from banyan.engine.batch import Batch, Span
from banyan.engine.request import Request
from banyan.engine.scheduler import Scheduler
from banyan.engine.sequence import Prefix
from banyan.engine.stats import StepRates


class StepRunner(Protocol):
    """Turns batches into logits: alone (``runner.py``) or in a group (``group_runner.py``)."""

    def start(self, batch: Batch) -> Callable[[], Tensor]:
        """Begin with ``batch``; calling the result waits for its float32 logits [R, vocab].

        Results are asked for in the order of the starts.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Step:
    """A batch under way."""

    batch: Batch
    started: float
    logits: Callable[[], Tensor]


class StepLoop:
    """Runs until ``close``; a failed request is told why through ``Request.fail``."""

    def __init__(self, scheduler: Scheduler, runner: StepRunner) -> None:
        self.scheduler = scheduler
        self.rates = StepRates()
        self._runner = runner
        self._requests: dict[int, Request] = {}
        self._work = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="engine-steps", daemon=True)
        self._thread.start()

    def submit(self, request: Request, prefix: Prefix | None = None) -> None:
        """Queue a request. Raises ``ContextTooLong``, ``Overloaded``, ``EngineFailed``."""
        with self._work:
            if self._closed:
                raise EngineFailed("The engine is closed.")
            request.sequence = self.scheduler.add(
                request.tokens,
                max_length=request.max_length,
                next_logit=request.next_logit,
                prefix=prefix,
            )
            self._requests[request.sequence.id] = request
            self._work.notify()

    def abandon(self, request: Request) -> None:
        """Nobody waits for this request any more; of no effect once it has ended."""
        with self._work:
            self._end(request)

    def share(self, length: int) -> Prefix | None:
        with self._work:
            return self.scheduler.share(length)

    def unshare(self, prefix: Prefix) -> None:
        with self._work:
            self.scheduler.unshare(prefix)

    def close(self) -> None:
        """Stop after the step in hand and fail what is left."""
        with self._work:
            self._closed = True
            self._work.notify()
        self._thread.join()

    def _run(self) -> None:
        error: BanyanError = EngineFailed("The engine was closed.")
        try:
            with torch.inference_mode():
                self._work_off()
        except ClusterError as lost:
            error = lost
        finally:
            with self._work:
                self._closed = True
                self._fail_all(error)
            self._runner.close()

    def _work_off(self) -> None:
        steps: deque[_Step] = deque()
        while True:
            batch = self._next_batch(wait=not steps)
            if batch is not None:
                self._start(batch, steps)
            elif steps:
                self._finish(steps.popleft())
            else:
                return

    def _next_batch(self, *, wait: bool) -> Batch | None:
        """The next work; None when there is none now, or (``wait``) when the loop is to end."""
        with self._work:
            while not self._closed:
                self._end_unwanted()
                batch = self.scheduler.next()
                if batch is not None or not wait:
                    return batch
                self._work.wait()
        return None

    def _start(self, batch: Batch, steps: deque[_Step]) -> None:
        started = time.perf_counter()
        batch = replace(batch, whole_rows=self._whole_rows(batch))
        try:
            steps.append(_Step(batch, started, self._runner.start(batch)))
        except ClusterError:
            raise
        except Exception as error:  # a step may fail in any way; the engine goes on
            self._fail_batch(batch, error)

    def _finish(self, step: _Step) -> None:
        batch = step.batch
        try:
            tokens = self._deliver(batch, step.logits())
        except ClusterError:
            raise
        except Exception as error:  # a step may fail in any way; the engine goes on
            self._fail_batch(batch, error)
            return
        self._book(batch, tokens)
        single = sum(span.length == 1 for span in batch.spans)
        seconds = time.perf_counter() - step.started
        self.rates.record(seconds, prefilled=len(batch.tokens) - single, decoded=single)

    def _fail_batch(self, batch: Batch, error: Exception) -> None:
        for request in self._requests_of(batch):
            request.fail(_failure(error))
        self._book(batch, {})

    def _book(self, batch: Batch, tokens: dict[int, int]) -> None:
        """Tell the scheduler what came of a batch, and let go of the requests that are done."""
        with self._work:
            requests = self._requests_of(batch)
            self.scheduler.finish(batch.id, tokens)
            for request in requests:
                if request.finished:
                    self._end(request)

    def _whole_rows(self, batch: Batch) -> Tensor:
        """Which of the batch's logit rows somebody needs in full."""
        needed = torch.ones(len(batch.logit_rows), dtype=torch.bool)
        for span, begin, end in _logits_of(batch):
            request = self._requests.get(span.sequence_id)
            needed[begin:end] = request is None or request.needs_whole_logits
        return needed

    def _deliver(self, batch: Batch, logits: Tensor) -> dict[int, int]:
        """Give each request its rows of logits; the tokens that were drawn, by sequence."""
        tokens: dict[int, int] = {}
        for span, begin, end in _logits_of(batch):
            request = self._requests.get(span.sequence_id)
            if request is None or request.sequence is None:
                continue
            first = span.context - span.length + int(batch.logit_rows[begin]) - span.start
            try:
                token = request.take(logits[begin:end], first, request.sequence.tokens)
            except BanyanError as error:
                request.fail(error)
            else:
                if token is not None:
                    tokens[span.sequence_id] = token
        return tokens

    def _requests_of(self, batch: Batch) -> list[Request]:
        found = [self._requests.get(span.sequence_id) for span in batch.spans]
        return [request for request in found if request is not None]

    def _end_unwanted(self) -> None:
        """End the requests that were cancelled or ran past their deadline."""
        for request in list(self._requests.values()):
            try:
                request.context.check()
            except BanyanError as error:
                request.fail(error)
                self._end(request)

    def _end(self, request: Request) -> None:
        sequence = request.sequence
        if sequence is not None and self._requests.pop(sequence.id, None) is not None:
            self.scheduler.cancel(sequence)

    def _fail_all(self, error: BanyanError) -> None:
        for request in list(self._requests.values()):
            request.fail(type(error)(str(error), remedy=error.remedy))
            self._end(request)


def _logits_of(batch: Batch) -> Iterator[tuple[Span, int, int]]:
    """Each span that has logit rows, with the numbers [begin, end) of these among them all."""
    rows, begin = batch.logit_rows.tolist(), 0
    for span in batch.spans:
        end = begin
        while end < len(rows) and rows[end] < span.start + span.length:
            end += 1
        if end > begin:
            yield span, begin, end
        begin = end


def _failure(error: Exception) -> EngineFailed:
    if isinstance(error, BanyanError):
        return EngineFailed(f"A step of the engine failed: {error}", remedy=error.remedy)
    if isinstance(error, MemoryError) or "not enough memory" in str(error):
        return EngineFailed(
            f"The engine ran out of memory in a step: {error}",
            remedy="Lower max_batch_tokens, max_sequences or kv_cache_bytes.",
        )
    return EngineFailed(
        f"A step of the engine failed: {type(error).__name__}: {error}",
        remedy="Retry; if it fails again, report this message.",
    )
