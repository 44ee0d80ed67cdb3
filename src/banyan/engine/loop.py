"""The step loop: one thread that asks the scheduler for a batch, runs it and hands out the tokens.

Requests come in and leave from any thread; the scheduler is only touched under the lock, and the
forward pass runs outside it. Whatever a step raises ends the requests in it, never the engine.
"""

from __future__ import annotations

import threading
import time

import torch
from torch import Tensor

from banyan.core.errors import BanyanError, EngineFailed
from banyan.engine.batch import Batch
from banyan.engine.request import Request
from banyan.engine.runner import Runner
from banyan.engine.scheduler import Scheduler
from banyan.engine.sequence import Prefix
from banyan.engine.stats import StepRates


class StepLoop:
    """Runs until ``close``; a failed request is told why through ``Request.fail``."""

    def __init__(self, scheduler: Scheduler, runner: Runner) -> None:
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
        try:
            with torch.inference_mode():
                while (batch := self._next_batch()) is not None:
                    self._step(batch)
        finally:
            with self._work:
                self._closed = True
                self._fail_all(EngineFailed("The engine was closed."))

    def _next_batch(self) -> Batch | None:
        """Wait for work; None when the loop is to end."""
        with self._work:
            while not self._closed:
                self._end_unwanted()
                batch = self.scheduler.next()
                if batch is not None:
                    return batch
                self._work.wait()
        return None

    def _step(self, batch: Batch) -> None:
        started = time.perf_counter()
        try:
            logits = self._runner.run(batch)
            tokens = self._deliver(batch, logits)
        except Exception as error:  # a step may fail in any way; the engine goes on
            tokens = {}
            for request in self._requests_of(batch):
                request.fail(_failure(error))
        with self._work:
            requests = self._requests_of(batch)
            self.scheduler.finish(batch.id, tokens)
            for request in requests:
                if request.finished:
                    self._end(request)
        single = sum(span.length == 1 for span in batch.spans)
        seconds = time.perf_counter() - started
        self.rates.record(seconds, prefilled=len(batch.tokens) - single, decoded=single)

    def _deliver(self, batch: Batch, logits: Tensor) -> dict[int, int]:
        """Give each request its rows of logits; the tokens that were drawn, by sequence."""
        tokens: dict[int, int] = {}
        logit_rows = batch.logit_rows.tolist()
        begin = 0
        for span in batch.spans:
            end = begin
            while end < len(logit_rows) and logit_rows[end] < span.start + span.length:
                end += 1
            request = self._requests.get(span.sequence_id)
            if request is not None and request.sequence is not None and end > begin:
                first = span.context - span.length + logit_rows[begin] - span.start
                try:
                    token = request.take(logits[begin:end], first, request.sequence.tokens)
                except BanyanError as error:
                    request.fail(error)
                else:
                    if token is not None:
                        tokens[span.sequence_id] = token
            begin = end
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

    def _fail_all(self, error: EngineFailed) -> None:
        for request in list(self._requests.values()):
            request.fail(EngineFailed(str(error), remedy=error.remedy))
            self._end(request)


def _failure(error: Exception) -> EngineFailed:
    if isinstance(error, MemoryError) or "not enough memory" in str(error):
        return EngineFailed(
            f"The engine ran out of memory in a step: {error}",
            remedy="Lower max_batch_tokens, max_sequences or kv_cache_bytes.",
        )
    return EngineFailed(
        f"A step of the engine failed: {type(error).__name__}: {error}",
        remedy="Retry; if it fails again, report this message.",
    )
