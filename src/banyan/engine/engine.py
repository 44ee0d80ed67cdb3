"""Engine: one model, many requests, in this process. Read this first.

    chat / complete / score            any thread: text -> tokens -> a Request
      StepLoop (loop.py)               one thread:
        Scheduler.next (scheduler.py)    -> Batch: which tokens of which sequences, which KV pages
        Runner.start (runner.py)         -> logits: model.py through block.py, attention over kv.py
        Request.take                     -> tokens drawn (sampler.py), text and events to the caller
        Scheduler.finish                 pages of what has ended are free again

``process.py`` offers the same from a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from banyan.core.context import Context
from banyan.core.errors import BanyanError, ContextTooLong, InputError, UnsupportedModel
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.types import Message, Sampling, TokenLogprob
from banyan.engine import sampler
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.config import EngineConfig
from banyan.engine.conversation import encode_conversation
from banyan.engine.formation import Seat
from banyan.engine.generation import Generation
from banyan.engine.loop import StepLoop
from banyan.engine.model import load
from banyan.engine.pages import PagePool
from banyan.engine.precision import in_words, resolved
from banyan.engine.pulse import Pulse
from banyan.engine.runner import Loaded, alone
from banyan.engine.scheduler import Limits, Scheduler
from banyan.engine.scoring import ScoreCall
from banyan.engine.seat import Report, lead
from banyan.engine.stats import EngineStats, MemorySample
from banyan.engine.template import ChatTemplate
from banyan.engine.tokenizer import Tokenizer


class Engine:
    """A ``ChatModel``, ``TextModel``, ``TextScorer`` and ``TokenCounter``; thread-safe.

    ``loaded`` is what computes; ``config`` must be resolved (``EngineConfig.resolve``).
    ``template`` None: the model has no chat template and ``chat`` is refused.
    """

    def __init__(
        self,
        loaded: Loaded,
        tokenizer: Tokenizer,
        template: ChatTemplate | None,
        config: EngineConfig,
        *,
        load_s: float = 0.0,
    ) -> None:
        self.config = config
        self.context_length = loaded.context_length
        self._loaded = loaded
        self._tokenizer = tokenizer
        self._template = template
        self._load_s = load_s
        limits = Limits(
            page_size=config.page_size,
            max_batch_tokens=config.max_batch_tokens,
            max_sequences=config.max_sequences,
            max_waiting=config.max_waiting,
        )
        self._loop = StepLoop(Scheduler(PagePool(loaded.pages), limits), loaded.runner)

    @classmethod
    def load(
        cls,
        path: Path,
        config: EngineConfig,
        seat: Seat | None = None,
        pulse: Pulse | None = None,
        report: Report = lambda _: None,
    ) -> Engine:
        """Load a GGUF file or a Hugging Face folder; with a ``seat``, rank 0's share of it, which
        then computes with the other ranks of the formation. ``report`` is told how far its loading
        is, ``pulse`` of its steps.

        Raises ``CheckpointInvalid``, ``UnsupportedModel``, ``InputError`` for a KV cache that holds
        nothing, and ``ClusterError`` when the ranks do not find together.
        """
        started = time.perf_counter()
        if seat is None:
            config = resolved(config, open_checkpoint(path))
        else:
            config = seat.formation.config.resolve()  # agreed, but for what this host has
        tokenizer = Tokenizer.load(path)
        try:
            template = ChatTemplate.load(path)
        except UnsupportedModel:
            template = None
        loaded = load_alone(path, config) if seat is None else lead(seat, path, report, pulse)
        return cls(loaded, tokenizer, template, config, load_s=time.perf_counter() - started)

    def chat(
        self, messages: Sequence[Message], sampling: Sampling, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        """See ``ChatModel``; also raises ``InputError`` for options out of range."""
        if self._template is None:
            raise UnsupportedModel(
                "This model has no chat template; it continues text and knows no turns.",
                remedy="Use /v1/completions, or a model made for chat.",
            )
        text, tokens = encode_conversation(messages, self._template, self._tokenizer)
        yield from self._generate(tokens, text, sampling, context)

    def complete(
        self, prompt: str, sampling: Sampling, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        """See ``TextModel``; names of special tokens in the prompt mean those tokens."""
        tokens = [*self._tokenizer.bos_ids, *self._tokenizer.encode(prompt, special=True)]
        yield from self._generate(tokens, prompt, sampling, context)

    def score(
        self, pairs: Sequence[tuple[str, str]], context: Context
    ) -> list[tuple[TokenLogprob, ...]]:
        """See ``TextScorer``; prefix and text are cut into tokens apart, and a prefix that several
        pairs have in common is computed once."""
        call = ScoreCall(self._tokenizer, pairs, context)
        for request in call.requests:
            self._check_length(len(request.tokens), 0)
        at_once = min(self.config.max_sequences, self.config.max_waiting)
        return call.run(self._loop, at_once)

    def count(self, text: str) -> int:
        """Tokens of ``text``, without what the model wants in front of it."""
        return len(self._tokenizer.encode(text, special=False))

    @property
    def stats(self) -> EngineStats:
        scheduler = self._loop.scheduler
        return EngineStats(
            prefill_tokens_per_s=self._loop.rates.prefill_tokens_per_s,
            decode_tokens_per_s=self._loop.rates.decode_tokens_per_s,
            prefilled_tokens=self._loop.rates.prefilled_tokens,
            decoded_tokens=self._loop.rates.decoded_tokens,
            running=len(scheduler.running),
            waiting=len(scheduler.waiting),
            pages_free=scheduler.pool.free,
            pages_total=scheduler.pool.total,
            weights_bytes=self._loaded.weights_bytes,
            kv_cache_bytes=self._loaded.kv_cache_bytes,
            context_length=self.context_length,
            precision=in_words(self.config.precision),
            threads=self.config.threads,
            load_s=self._load_s,
            links=self._loaded.links,
            choices=self._loaded.choices,
            memory=None if self._loaded.memory is None else self._loaded.memory.stats,
        )

    @property
    def memory_timeline(self) -> tuple[MemorySample, ...]:
        """What rank 0 held, layer by layer, in the last steps; empty without a budget."""
        return () if self._loaded.memory is None else self._loaded.memory.samples

    def close(self) -> None:
        """End the step loop; requests under way raise ``EngineFailed``."""
        self._loop.close()

    def _generate(
        self, tokens: list[int], prompt: str, sampling: Sampling, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        context.check()
        sampler.check(sampling)
        if not tokens:
            raise InputError("The prompt is empty.", remedy="Send at least one character.")
        request = Generation(
            tokens=tokens,
            max_length=self._max_length(len(tokens), sampling.max_tokens),
            prompt_text=prompt,
            sampling=sampling,
            tokenizer=self._tokenizer,
            context=context,
        )
        try:
            if request.needs_computing:
                self._loop.submit(request)
            while True:
                output = request.outputs.get()
                if isinstance(output, BanyanError):
                    raise output
                yield output
                if isinstance(output, GenerationDone):
                    return
        finally:
            self._loop.abandon(request)

    def _max_length(self, prompt: int, max_tokens: int | None) -> int:
        """Tokens of prompt and answer together; without ``max_tokens`` all there is room for."""
        self._check_length(prompt, 1 if max_tokens is None else max_tokens)
        if max_tokens is None:
            return min(self.context_length, max(self._loop.scheduler.capacity, prompt + 1))
        return prompt + max_tokens

    def _check_length(self, prompt: int, new: int) -> None:
        if prompt + new > self.context_length:
            raise ContextTooLong(
                f"{prompt} prompt tokens and {new} new ones are {prompt + new}; the model's "
                f"context holds {self.context_length}.",
                remedy="Send less, or lower max_tokens.",
            )


def load_alone(path: Path, config: EngineConfig) -> Loaded:
    """The whole model in this process."""
    return alone(load(path, config), config)
