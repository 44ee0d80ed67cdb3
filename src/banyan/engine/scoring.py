"""Scoring: requests that only read; how likely each token of a text is after a prefix.

They ride in the ordinary batch beside running chats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

from torch import Tensor

from banyan.core.context import Context
from banyan.core.errors import BanyanError
from banyan.core.types import TokenLogprob
from banyan.engine.loop import StepLoop
from banyan.engine.request import Request
from banyan.engine.sampler import Likelihood, likelihoods
from banyan.engine.sequence import Prefix

if TYPE_CHECKING:
    from banyan.engine.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The result for pair number ``index`` of the call, whose prefix was ``prefix``."""

    index: int
    prefix: tuple[int, ...]
    likelihoods: tuple[Likelihood, ...]


ScoringOutput = Scored | BanyanError


class Scoring(Request):
    """Pair number ``index`` of a call; all pairs of a call share ``outputs``.

    ``prefix`` and ``text`` have at least one token each.
    """

    def __init__(
        self,
        *,
        index: int,
        prefix: list[int],
        text: list[int],
        outputs: SimpleQueue[ScoringOutput],
        context: Context,
    ) -> None:
        tokens = prefix + text
        super().__init__(
            tokens=tokens,
            max_length=len(tokens),
            next_logit=len(prefix) - 1,
            context=context,
        )
        self.index = index
        self.prefix = tuple(prefix)
        self._wanted = len(text)
        self._outputs = outputs
        self._found: list[Likelihood] = []

    def take(self, logits: Tensor, first: int, known: list[int]) -> int | None:
        targets = known[first + 1 : first + 1 + len(logits)]
        self._found += likelihoods(logits, targets, 0)
        if len(self._found) == self._wanted:
            self.finished = True
            result = Scored(index=self.index, prefix=self.prefix, likelihoods=tuple(self._found))
            self._outputs.put(result)
        return None

    def fail(self, error: BanyanError) -> None:
        self.finished = True
        self._outputs.put(error)


class ScoreCall:
    """All pairs of one call, grouped by prefix so that each group's is computed once.

    The first token of a text without any prefix has nothing before it: its log-probability is None.
    """

    def __init__(
        self, tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], context: Context
    ) -> None:
        self._tokenizer = tokenizer
        self._outputs: SimpleQueue[ScoringOutput] = SimpleQueue()
        self._texts: list[list[int]] = []
        self._results: list[tuple[Likelihood, ...]] = [() for _ in pairs]
        self.requests: list[Scoring] = []
        for index, (prefix, text) in enumerate(pairs):
            context.check()
            before = [*tokenizer.bos_ids, *tokenizer.encode(prefix, special=False)]
            tokens = tokenizer.encode(text, special=False)
            self._texts.append(tokens)
            if not before:
                before, tokens = tokens[:1], tokens[1:]
            if tokens:
                self.requests.append(
                    Scoring(
                        index=index,
                        prefix=before,
                        text=tokens,
                        outputs=self._outputs,
                        context=context,
                    )
                )
        self._members = Counter(request.prefix for request in self.requests)
        self._prefixes: dict[tuple[int, ...], Prefix] = {}

    def run(self, loop: StepLoop, at_once: int) -> list[tuple[TokenLogprob, ...]]:
        """Score with at most ``at_once`` pairs in the loop at a time; results in order of pairs."""
        submitted: list[Scoring] = []
        try:
            for request in self._in_turn():
                if len(submitted) >= at_once:
                    self._collect(loop)
                loop.submit(request, self._shared_prefix(loop, request))
                submitted.append(request)
            for _ in range(min(at_once, len(submitted))):
                self._collect(loop)
        finally:
            for request in submitted:
                loop.abandon(request)
            for prefix in self._prefixes.values():
                loop.unshare(prefix)
        return [self._reported(index) for index in range(len(self._results))]

    def _in_turn(self) -> Iterator[Scoring]:
        """One prefix after the other."""
        order: dict[tuple[int, ...], list[Scoring]] = {}
        for request in self.requests:
            order.setdefault(request.prefix, []).append(request)
        for group in order.values():
            yield from group

    def _shared_prefix(self, loop: StepLoop, request: Scoring) -> Prefix | None:
        tokens = request.prefix
        if tokens not in self._prefixes and self._members[tokens] > 1:
            # The logits of the last prefix token are wanted by each member: it is not shared.
            prefix = loop.share(len(tokens) - 1)
            if prefix is not None:
                self._prefixes[tokens] = prefix
        return self._prefixes.get(tokens)

    def _collect(self, loop: StepLoop) -> None:
        """Wait for one result; a prefix whose last member is done is let go."""
        output = self._outputs.get()
        if isinstance(output, BanyanError):
            raise output
        self._results[output.index] = output.likelihoods
        self._members[output.prefix] -= 1
        if self._members[output.prefix] == 0 and output.prefix in self._prefixes:
            loop.unshare(self._prefixes.pop(output.prefix))

    def _reported(self, index: int) -> tuple[TokenLogprob, ...]:
        found: list[float | None] = [entry.logprob for entry in self._results[index]]
        tokens = self._texts[index]
        missing: list[float | None] = [None] * (len(tokens) - len(found))
        text = self._tokenizer.token_text
        return tuple(
            TokenLogprob(text=text(token), logprob=logprob)
            for token, logprob in zip(tokens, missing + found, strict=True)
        )
