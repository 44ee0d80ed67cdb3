"""Generation: a request that writes; from drawn tokens to the text and events a caller sees."""

from __future__ import annotations

import secrets
from queue import SimpleQueue
from typing import TYPE_CHECKING

from torch import Tensor

from banyan.core.context import Context
from banyan.core.errors import BanyanError
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.types import FinishReason, Sampling, TokenLogprob, Usage
from banyan.engine.request import Request
from banyan.engine.sampler import Likelihood, likelihoods, sample
from banyan.engine.stopping import StopFilter
from banyan.engine.vocabulary import CANDIDATES

if TYPE_CHECKING:
    from banyan.engine.tokenizer import Tokenizer

GenerationOutput = TokenReady | GenerationDone | BanyanError


class Generation(Request):
    """Draws tokens until an end token, a stop string or ``max_length``.

    ``prompt_text`` is what ``echo`` repeats. Usage counts an end token as drawn, though it is
    never shown.
    """

    def __init__(
        self,
        *,
        tokens: list[int],
        max_length: int,
        prompt_text: str,
        sampling: Sampling,
        tokenizer: Tokenizer,
        context: Context,
    ) -> None:
        reports_prompt = sampling.echo and sampling.logprobs is not None
        super().__init__(
            tokens=tokens,
            max_length=max_length,
            next_logit=0 if reports_prompt else len(tokens) - 1,
            context=context,
        )
        self.outputs: SimpleQueue[GenerationOutput] = SimpleQueue()
        self._prompt_text = prompt_text
        self._sampling = sampling
        self._tokenizer = tokenizer
        self._seed = secrets.randbits(64) if sampling.seed is None else sampling.seed
        self._stream = tokenizer.stream(tokens)
        self._stops = StopFilter(sampling.stop)
        self._drawn = 0
        self._prompt_logprobs: list[TokenLogprob] | None = None
        self._unshown = _UnshownLogprobs()
        if reports_prompt:
            first = TokenLogprob(text=tokenizer.token_text(tokens[0]), logprob=None)
            self._prompt_logprobs = [first]
            self._echo_when_complete()
        elif sampling.echo:
            self.outputs.put(TokenReady(text=prompt_text))
        if not self.needs_computing:
            self._finish("length")

    @property
    def needs_whole_logits(self) -> bool:
        """False for greedy and for top-k among the candidates, where nothing is penalised and no
        token of the prompt is to be reported."""
        chosen = self._sampling
        penalised = (
            chosen.repetition_penalty != 1.0
            or chosen.presence_penalty != 0.0
            or chosen.frequency_penalty != 0.0
        )
        few = chosen.temperature == 0 or 0 < chosen.top_k <= CANDIDATES
        return penalised or self._prompt_logprobs is not None or not few

    def take(self, logits: Tensor, first: int, known: list[int]) -> int | None:
        targets = known[first + 1 : first + 1 + len(logits)]
        if targets and self._prompt_logprobs is not None:
            self._prompt_logprobs += map(self._reported, self._likelihoods(logits, targets))
            self._echo_when_complete()
        if len(targets) == len(logits):
            if len(known) == self.max_length == first + len(logits) + 1:
                self._finish("length")
            return None
        token = self._draw(logits[-1], known)
        self._accept(token, logits[-1:], is_last=len(known) + 1 == self.max_length)
        return token

    def fail(self, error: BanyanError) -> None:
        self.finished = True
        self.outputs.put(error)

    def _draw(self, row: Tensor, known: list[int]) -> int:
        prompt = len(self.tokens)
        return sample(
            row,
            self._sampling,
            prompt=known[:prompt],
            answer=known[prompt:],
            seed=self._seed,
        )

    def _accept(self, token: int, row: Tensor, *, is_last: bool) -> None:
        self._drawn += 1
        if token in self._tokenizer.eos_ids:
            self._finish("stop")
            return
        text = self._stream.push(token)
        if self._sampling.logprobs is not None:
            (likelihood,) = self._likelihoods(row, [token])
            self._unshown.add(text, self._reported(likelihood))
        self._show(self._stops.push(text))
        if self._stops.stopped:
            self._finish("stop")
        elif is_last:
            self._finish("length")

    def _likelihoods(self, rows: Tensor, tokens: list[int]) -> list[Likelihood]:
        return likelihoods(rows[: len(tokens)], tokens, self._sampling.logprobs or 0)

    def _reported(self, likelihood: Likelihood) -> TokenLogprob:
        text = self._tokenizer.token_text
        return TokenLogprob(
            text=text(likelihood.token),
            logprob=likelihood.logprob,
            top=tuple((text(token), logprob) for token, logprob in likelihood.top),
        )

    def _echo_when_complete(self) -> None:
        if self._prompt_logprobs is not None and len(self._prompt_logprobs) == len(self.tokens):
            logprobs = tuple(self._prompt_logprobs)
            self.outputs.put(TokenReady(text=self._prompt_text, logprobs=logprobs))
            self._prompt_logprobs = None

    def _show(self, text: str) -> None:
        if text:
            logprobs = self._unshown.take(len(text))
            self.outputs.put(TokenReady(text=text, logprobs=logprobs))

    def _finish(self, reason: FinishReason) -> None:
        self.finished = True
        self._show(self._stops.push(self._stream.flush()) + self._stops.flush())
        if not self._stops.stopped and (rest := self._unshown.take_all()):
            self.outputs.put(TokenReady(text="", logprobs=rest))
        usage = Usage(prompt_tokens=len(self.tokens), completion_tokens=self._drawn)
        self.outputs.put(GenerationDone(finish_reason=reason, usage=usage))


class _UnshownLogprobs:
    """Log-probabilities that wait for the text of their tokens to be shown.

    Text may be held back, for an unfinished character or a possible stop string; a token goes out
    with the first piece that reaches beyond its start, and never if its text is cut off.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, TokenLogprob]] = []
        self._read = 0
        self._shown = 0

    def add(self, text: str, logprob: TokenLogprob) -> None:
        """A token that brought ``text`` to the stream."""
        self._waiting.append((self._read, logprob))
        self._read += len(text)

    def take(self, length: int) -> tuple[TokenLogprob, ...]:
        """Those of the next ``length`` characters."""
        self._shown += length
        ready = [logprob for start, logprob in self._waiting if start < self._shown]
        self._waiting = self._waiting[len(ready) :]
        return tuple(ready)

    def take_all(self) -> tuple[TokenLogprob, ...]:
        ready = tuple(logprob for _, logprob in self._waiting)
        self._waiting = []
        return ready
