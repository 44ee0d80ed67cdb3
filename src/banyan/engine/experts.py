"""Experts: a feed-forward network of which each token uses a few parts (Shazeer et al. 2017).

A rank may hold some of the experts. It has the whole router, which is small, takes the tokens that
chose an expert of its own, and its result is a summand: the sum over the ranks, which the block
makes anyway, is that of a single rank. So expert parallelism needs nothing but All-Reduce.

All ranks choose alike because an All-Reduce gives each the same bytes. Where processors of two
kinds round a norm differently, a choice between two experts that are all but equal may fall
differently on two ranks, and one with such a small share counts twice or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from banyan.engine.feed_forward import FeedForward
from banyan.engine.linear import Linear


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """``router`` [all experts, hidden] takes float32; ``experts`` are this rank's, numbered from
    ``first``. Each token uses ``per_token`` of all; ``normalise``: their shares add up to one."""

    router: Linear
    experts: tuple[FeedForward, ...]
    first: int
    per_token: int
    normalise: bool

    @property
    def size_bytes(self) -> int:
        return self.router.size_bytes + sum(expert.size_bytes for expert in self.experts)

    @property
    def entries(self) -> Sequence[Linear]:
        """Of as many experts as one token uses."""
        return [entry for expert in self.experts[: self.per_token] for entry in expert.entries]

    def __call__(self, x: Tensor) -> Tensor:
        """[T, hidden] -> [T, hidden]: the weighted sum of each token's experts that are here."""
        shares, chosen = self.route(x)
        own = chosen - self.first
        tokens, places = ((own >= 0) & (own < len(self.experts))).nonzero(as_tuple=True)
        order = own[tokens, places].argsort(stable=True)
        tokens, places = tokens[order], places[order]
        counts = own[tokens, places].bincount(minlength=len(self.experts)).tolist()
        out = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
        weights = shares[tokens, places].unsqueeze(-1).split(counts)
        for expert, rows, weight in zip(self.experts, tokens.split(counts), weights, strict=True):
            if len(rows):
                out.index_add_(0, rows, expert(x[rows]).float().mul_(weight))
        return out.to(x.dtype)

    def route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Shares float32 [T, per_token] and numbers int64 [T, per_token] of each token's experts,
        the likeliest first."""
        shares, chosen = self.router(x.float()).softmax(dim=-1).topk(self.per_token, dim=-1)
        if self.normalise:
            shares = shares / shares.sum(dim=-1, keepdim=True)
        return shares, chosen
