"""Sequence: one text the engine works on, as the scheduler sees it; it does not sample."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, eq=False, kw_only=True)
class Prefix:
    """Leading tokens that several sequences have in common, computed once.

    The first member to run is the ``leader``; when it has computed ``length`` tokens (whole pages)
    they are published as ``pages``, and the other members start with them. Under memory pressure
    the pages are dropped and the next member leads anew.
    """

    length: int
    leader: Sequence | None = None
    pages: tuple[int, ...] = ()


@dataclass(slots=True, eq=False, kw_only=True)
class Sequence:
    """Tokens known so far and how far their keys and values are computed.

    ``id`` is the order of arrival. The last token of all (number ``max_length``) is only ever
    predicted, so a sequence is complete when ``max_length - 1`` positions are computed.
    ``next_logit`` is the first position whose logits nobody has seen yet and somebody wants.
    ``batch_id`` is the outstanding batch it is in. ``ended`` sequences get no further work.
    """

    id: int
    tokens: list[int]
    max_length: int
    next_logit: int
    prefix: Prefix | None = None
    computed: int = 0
    pages: list[int] = field(default_factory=list)
    batch_id: int | None = None
    ended: bool = False

    @property
    def reach(self) -> int:
        """How many positions can be computed with the tokens known now."""
        return min(len(self.tokens), self.max_length - 1)

    @property
    def pending(self) -> int:
        """Positions that can be computed and are not yet."""
        return self.reach - self.computed

    @property
    def is_complete(self) -> bool:
        return self.computed >= self.max_length - 1

    def first_logit(self, start: int) -> int:
        """The first position at or after ``start`` whose logits are wanted."""
        return max(start, self.next_logit)
