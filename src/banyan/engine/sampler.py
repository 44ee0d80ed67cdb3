"""Sampler: from a row of logits to the next token, and to log-probabilities.

Order: repetition, presence and frequency penalties; temperature; top-k; top-p over what top-k
left; min-p; then one draw. Random numbers come from a counter-based generator keyed by (seed,
position), so a request draws the same alone, in any batch, and after it was computed again.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from banyan.core.errors import EngineFailed, InputError
from banyan.core.types import Sampling

MAX_LOGPROBS = 20
"""Alternatives reported beside a token, at most (the OpenAI API's limit)."""
MAX_STOPS = 16
"""Stop strings of one request, at most."""
NUCLEUS_CANDIDATES = 1024
"""Tokens sorted first to find a nucleus; the whole vocabulary is sorted only if they are short."""


def check(sampling: Sampling) -> None:
    """Raise ``InputError`` naming the first option that is out of its range."""
    ranges = [
        ("max_tokens", sampling.max_tokens, 0, math.inf),
        ("temperature", sampling.temperature, 0.0, 100.0),
        ("top_k", sampling.top_k, 0, math.inf),
        ("top_p", sampling.top_p, 1e-9, 1.0),
        ("min_p", sampling.min_p, 0.0, 1.0),
        ("repetition_penalty", sampling.repetition_penalty, 1e-3, 1e3),
        ("presence_penalty", sampling.presence_penalty, -2.0, 2.0),
        ("frequency_penalty", sampling.frequency_penalty, -2.0, 2.0),
        ("logprobs", sampling.logprobs, 0, MAX_LOGPROBS),
        ("the number of stop strings", len(sampling.stop), 0, MAX_STOPS),
    ]
    for name, value, low, high in ranges:
        if value is not None and not low <= value <= high:
            raise InputError(f"{name} is {value}; it must lie between {low:g} and {high:g}.")
    if "" in sampling.stop:
        raise InputError("A stop string is empty.", remedy="Leave it out.")


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) that depends on (seed, position) alone (53 bits of BLAKE2b)."""
    key = struct.pack("<QQ", seed % 2**64, position)
    return (int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 11) / 2**53


def sample(
    logits: Tensor, sampling: Sampling, *, prompt: Sequence[int], answer: Sequence[int], seed: int
) -> int:
    """The token that follows ``prompt`` and ``answer``; logits float32 [vocab] stay as they are.

    Raises ``EngineFailed`` when the logits are not numbers.
    """
    logits = _penalised(logits, sampling, prompt, answer)
    if sampling.temperature == 0:
        token = int(logits.argmax())
        if not math.isfinite(float(logits[token])):
            raise EngineFailed("The model returned logits that are not numbers.")
        return token
    probabilities, ids = filtered(logits, sampling)
    cumulative = probabilities.double().cumsum(0)
    total = float(cumulative[-1]) if len(cumulative) else 0.0  # no comparison holds for a NaN
    if not (math.isfinite(total) and total > 0):
        raise EngineFailed("The model returned logits that are not numbers.")
    threshold = uniform(seed, len(prompt) + len(answer)) * total
    index = int(torch.searchsorted(cumulative, threshold, right=True))
    index = min(index, len(cumulative) - 1)
    return index if ids is None else int(ids[index])


def filtered(logits: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor | None]:
    """What may be drawn: probabilities (summing to at most 1) and their token ids.

    The ids are None when nothing was filtered: then every token stands at its own place.
    """
    probabilities = ((logits - logits.max()) / sampling.temperature).softmax(0)
    if sampling.top_k == 0 and sampling.top_p == 1.0:
        floor = sampling.min_p * float(probabilities.max())
        return probabilities.where(probabilities >= floor, 0.0), None
    if sampling.top_k:
        best, ids = probabilities.topk(min(sampling.top_k, len(probabilities)))
    else:
        best, ids = _nucleus_candidates(probabilities, sampling.top_p)
    allowed = best >= sampling.min_p * best[0]
    if sampling.top_p < 1.0:
        mass = best.sum() if sampling.top_k else 1.0
        allowed &= best.cumsum(0) - best < sampling.top_p * mass
    return best[allowed], ids[allowed]


def _nucleus_candidates(probabilities: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The likeliest tokens, best first, enough of them to hold ``top_p``."""
    best, ids = probabilities.topk(min(NUCLEUS_CANDIDATES, len(probabilities)))
    if float(best.sum()) >= top_p:
        return best, ids
    return probabilities.topk(len(probabilities))


def _penalised(
    logits: Tensor, sampling: Sampling, prompt: Sequence[int], answer: Sequence[int]
) -> Tensor:
    if sampling.repetition_penalty != 1.0:
        seen = torch.tensor(sorted({*prompt, *answer}), dtype=torch.int64)
        logits = logits.clone()
        values = logits[seen]
        factor = sampling.repetition_penalty
        logits[seen] = torch.where(values > 0, values / factor, values * factor)
    if answer and (sampling.presence_penalty or sampling.frequency_penalty):
        counts = torch.bincount(torch.tensor(answer), minlength=len(logits))
        logits = logits - sampling.presence_penalty * (counts > 0)
        logits = logits - sampling.frequency_penalty * counts
    return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """A token's natural-log probability under the model itself, before penalties and filters,
    and the likeliest tokens with theirs."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


def likelihoods(logits: Tensor, tokens: Sequence[int], top: int) -> list[Likelihood]:
    """For each row of logits [N, vocab]: how likely tokens[n] was, and the ``top`` likeliest."""
    logprobs = logits.log_softmax(-1)
    chosen = logprobs.gather(1, torch.tensor(tokens, dtype=torch.int64)[:, None])[:, 0].tolist()
    best = logprobs.topk(top, dim=-1)
    return [
        Likelihood(token=token, logprob=logprob, top=tuple(zip(ids, values, strict=True)))
        for token, logprob, ids, values in zip(
            tokens, chosen, best.indices.tolist(), best.values.tolist(), strict=True
        )
    ]
