"""What an engine tells about itself; without torch, so that other processes can read it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from banyan.core.cluster import ChoiceStats, LinkStats

WINDOW_STEPS = 128
"""Steps that the rates are taken over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySample:
    """What a rank holds as layer ``layer`` of step ``step`` begins, at ``at_s`` of the monotonic
    clock. Weights (those that stay and those in slots) and the pool of keys and values are counted;
    ``taken_bytes`` is measured, and what it is beyond those two is activations and the process."""

    at_s: float
    step: int
    layer: int
    weights_bytes: int
    kv_bytes: int
    taken_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStats:
    """A rank within a budget. ``planned_bytes``: the most it should take, ``peak_bytes``: the most
    it has taken, as the system measured it (``limit_bytes``: of its control group; 0: there is
    none). ``choice``: what stays and what passes through, with its sum. ``streamed_bytes`` pass
    through in each step; ``waited_s``: how long computing stood still for them so far."""

    budget_bytes: int
    planned_bytes: int
    peak_bytes: int
    limit_bytes: int
    choice: str
    streamed_bytes: int
    waited_s: float


class MemoryWatch(Protocol):
    """A rank within a budget, to look at from any thread."""

    @property
    def stats(self) -> MemoryStats: ...

    @property
    def samples(self) -> tuple[MemorySample, ...]:
        """The last layers and steps, oldest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """Rates are tokens per second of computing over the last steps (0 before the first), tokens
    those of all steps so far. ``links`` and ``choices`` are what rank 0 of a group has measured and
    picked, where it does so; ``memory`` is rank 0's, where it has a budget."""

    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    prefilled_tokens: int
    decoded_tokens: int
    running: int
    waiting: int
    pages_free: int
    pages_total: int
    weights_bytes: int
    kv_cache_bytes: int
    context_length: int
    precision: str
    threads: int
    load_s: float
    links: tuple[LinkStats, ...] = ()
    choices: tuple[ChoiceStats, ...] = ()
    memory: MemoryStats | None = None


class StepRates:
    """Tokens and seconds of the last steps; tokens of all."""

    def __init__(self) -> None:
        self.prefilled_tokens = 0
        self.decoded_tokens = 0
        self._steps: deque[tuple[float, int, int]] = deque(maxlen=WINDOW_STEPS)

    def record(self, seconds: float, *, prefilled: int, decoded: int) -> None:
        self._steps.append((seconds, prefilled, decoded))
        self.prefilled_tokens += prefilled
        self.decoded_tokens += decoded

    @property
    def prefill_tokens_per_s(self) -> float:
        return _rate([(seconds, tokens) for seconds, tokens, _ in list(self._steps)])

    @property
    def decode_tokens_per_s(self) -> float:
        return _rate([(seconds, tokens) for seconds, _, tokens in list(self._steps)])


def _rate(steps: list[tuple[float, int]]) -> float:
    """Tokens per second of the steps that had any."""
    busy = [(seconds, tokens) for seconds, tokens in steps if tokens]
    seconds = sum(entry[0] for entry in busy)
    return sum(entry[1] for entry in busy) / seconds if seconds else 0.0
