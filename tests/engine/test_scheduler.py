"""The scheduler against a naive model of memory: what lies in each slot is checked at each step."""

from __future__ import annotations

from collections.abc import Sequence as Tokens

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from banyan.core.errors import ContextTooLong, Overloaded
from banyan.engine.batch import Batch
from banyan.engine.pages import PagePool
from banyan.engine.scheduler import Limits, Scheduler
from banyan.engine.sequence import Prefix, Sequence

PAGE = 4


def digest(tokens: Tokens[int]) -> int:
    """What a causal model knows at a position: everything up to it."""
    return hash(tuple(tokens))


def drawn(tokens: Tokens[int]) -> int:
    return digest(tokens) % 7


def make(pages: int = 8, **limits: int) -> Scheduler:
    return Scheduler(PagePool(pages), Limits(page_size=PAGE, **limits))


def generate(scheduler: Scheduler, prompt: list[int], new: int) -> Sequence:
    return scheduler.add(prompt, max_length=len(prompt) + new, next_logit=len(prompt) - 1)


class Slots:
    """The physical memory: what a step stored in each slot of each page."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    def run(self, batch: Batch, sequences: dict[int, Sequence]) -> dict[int, int]:
        """Store what the batch computes, check that each context reads as its own tokens say,
        and return the tokens that were drawn."""
        tokens: dict[int, int] = {}
        for span in batch.spans:
            sequence = sequences[span.sequence_id]
            rows = batch.tokens[span.start : span.start + span.length].tolist()
            assert rows == sequence.tokens[span.context - span.length : span.context]
            for position in range(span.context - span.length, span.context):
                self._known[self._slot(span.pages, position)] = digest(
                    sequence.tokens[: position + 1]
                )
            for position in range(span.context):
                assert self._known[self._slot(span.pages, position)] == digest(
                    sequence.tokens[: position + 1]
                )
            if span.context == len(sequence.tokens):
                tokens[span.sequence_id] = drawn(sequence.tokens)
        return tokens

    @staticmethod
    def _slot(pages: tuple[int, ...], position: int) -> int:
        return pages[position // PAGE] * PAGE + position % PAGE


def run_to_the_end(scheduler: Scheduler, *sequences: Sequence) -> list[Batch]:
    """Step until nothing is left to do; the batches, in order."""
    slots, batches = Slots(), []
    known = {sequence.id: sequence for sequence in sequences}
    while scheduler.has_work:
        batch = scheduler.next()
        assert batch is not None
        scheduler.finish(batch.id, slots.run(batch, known))
        batches.append(batch)
    return batches


def test_decoding_goes_first_and_prompts_fill_the_rest_of_the_budget() -> None:
    scheduler = make(pages=32, max_batch_tokens=8)
    first = generate(scheduler, [1, 2], 4)
    slots = Slots()
    batch = scheduler.next()
    assert batch is not None
    scheduler.finish(batch.id, slots.run(batch, {first.id: first}))
    second = generate(scheduler, list(range(20)), 1)
    batch = scheduler.next()
    assert batch is not None
    assert [(span.sequence_id, span.length) for span in batch.spans] == [
        (first.id, 1),
        (second.id, 7),
    ]


def test_a_score_asks_only_for_the_rows_it_scores_and_draws_nothing() -> None:
    scheduler = make()
    sequence = scheduler.add([1, 2, 3, 4, 5, 6], max_length=6, next_logit=2)
    (batch,) = run_to_the_end(scheduler, sequence)
    assert batch.tokens.tolist() == [1, 2, 3, 4, 5]
    assert batch.logit_rows.tolist() == [2, 3, 4]
    assert sequence.tokens == [1, 2, 3, 4, 5, 6]


def test_members_of_a_prefix_compute_its_whole_pages_once() -> None:
    scheduler = make(pages=32)
    prefix_tokens = list(range(10))
    prefix = scheduler.share(len(prefix_tokens) - 1)
    assert prefix is not None
    assert prefix.length == 8
    members = [
        scheduler.add([*prefix_tokens, n, n], max_length=12, next_logit=9, prefix=prefix)
        for n in range(5)
    ]
    batches = run_to_the_end(scheduler, *members)
    assert sum(len(batch.tokens) for batch in batches) == 11 + 4 * 3
    scheduler.unshare(prefix)
    assert scheduler.pool.free == scheduler.pool.total


def test_a_request_that_can_never_fit_is_refused_with_the_arithmetic() -> None:
    scheduler = make(pages=2)
    with pytest.raises(ContextTooLong, match=r"6 prompt tokens.*4 new ones.*3 pages.*has 2"):
        generate(scheduler, [0] * 6, 4)
    run_to_the_end(scheduler, generate(scheduler, [0] * 6, 3))


def test_a_full_queue_is_overloaded() -> None:
    scheduler = make(max_waiting=1)
    generate(scheduler, [1], 1)
    with pytest.raises(Overloaded, match="max_waiting = 1"):
        generate(scheduler, [1], 1)


def test_pages_of_a_cancelled_sequence_stay_until_its_batch_has_finished() -> None:
    scheduler = make()
    sequence = generate(scheduler, [1, 2, 3], 5)
    batch = scheduler.next()
    assert batch is not None
    scheduler.cancel(sequence)
    assert scheduler.pool.free < scheduler.pool.total
    scheduler.finish(batch.id, {})
    assert scheduler.pool.free == scheduler.pool.total


def test_the_youngest_gives_way_and_still_draws_the_same_tokens() -> None:
    alone = make(pages=8)
    expected = generate(alone, [9, 9], 20)
    run_to_the_end(alone, expected)
    crowded = make(pages=8)
    old, young = generate(crowded, [1, 2], 20), generate(crowded, [9, 9], 20)
    batches = run_to_the_end(crowded, old, young)
    computed = sum(span.length for batch in batches for span in batch.spans)
    assert computed > 2 * 21, "somebody was computed again"
    assert young.tokens == expected.tokens
    assert crowded.pool.free == crowded.pool.total


def hold_a_prefix(scheduler: Scheduler) -> Prefix:
    """Compute a prefix of three pages and leave it held with no member running."""
    prefix = scheduler.share(12)
    assert prefix is not None
    run_to_the_end(
        scheduler, scheduler.add(list(range(14)), max_length=14, next_logit=12, prefix=prefix)
    )
    assert scheduler.pool.free == scheduler.pool.total - 3
    return prefix


@pytest.mark.parametrize("prompt_length", [4, 28])
def test_a_held_prefix_gives_way_to_a_sequence_that_needs_its_pages(prompt_length: int) -> None:
    scheduler = make(pages=8)
    prefix = hold_a_prefix(scheduler)
    sequence = generate(scheduler, list(range(prompt_length)), 33 - prompt_length)
    run_to_the_end(scheduler, sequence)
    assert len(sequence.tokens) == 33
    scheduler.unshare(prefix)
    assert scheduler.pool.free == scheduler.pool.total


def test_a_preempted_sequence_keeps_its_place_in_the_queue() -> None:
    order: list[int] = []
    scheduler = make(pages=8)
    sequences = [generate(scheduler, [n, n], 20) for n in range(4)]
    slots, known = Slots(), {sequence.id: sequence for sequence in sequences}
    while scheduler.has_work:
        batch = scheduler.next()
        assert batch is not None
        scheduler.finish(batch.id, slots.run(batch, known))
        order += [entry.id for entry in sequences if entry.ended and entry.id not in order]
    assert order == [entry.id for entry in sequences]


class SchedulerMachine(RuleBasedStateMachine):
    """Add, step, finish in any order, cancel; memory and bookkeeping must agree throughout."""

    @initialize(
        pages=st.integers(9, 20),
        budget=st.sampled_from([1, 3, 8, 24]),
        most=st.integers(1, 6),
        depth=st.integers(1, 3),
    )
    def start(self, pages: int, budget: int, most: int, depth: int) -> None:
        limits = Limits(
            page_size=PAGE,
            max_batch_tokens=budget,
            max_sequences=most,
            max_waiting=12,
            depth=depth,
        )
        self.scheduler = Scheduler(PagePool(pages), limits)
        self.slots = Slots()
        self.sequences: dict[int, Sequence] = {}
        self.prompts: dict[int, tuple[list[int], int]] = {}
        self.cancelled: set[int] = set()
        self.seen: dict[int, list[int]] = {}
        self.outstanding: dict[int, dict[int, int]] = {}
        self.prefixes: list[tuple[Prefix, list[int]]] = []

    @rule(prompt=st.lists(st.integers(0, 3), min_size=1, max_size=10), new=st.integers(0, 24))
    def add(self, prompt: list[int], new: int) -> None:
        if len(prompt) + new >= 2:
            self._add(prompt, new, min(len(prompt) - 1, new + 2), None)

    @rule(count=st.integers(2, 6), new=st.integers(10, 24))
    def add_several(self, count: int, new: int) -> None:
        """A crowd that outgrows the pages together."""
        for number in range(count):
            self._add([number], new, 0, None)

    @rule(tokens=st.lists(st.integers(0, 3), min_size=PAGE + 1, max_size=14))
    def share(self, tokens: list[int]) -> None:
        prefix = self.scheduler.share(len(tokens) - 1)
        assert prefix is not None
        self.prefixes.append((prefix, tokens))

    @precondition(lambda self: self.prefixes)
    @rule(data=st.data(), text=st.lists(st.integers(0, 3), min_size=1, max_size=4))
    def add_member(self, data: st.DataObject, text: list[int]) -> None:
        prefix, tokens = data.draw(st.sampled_from(self.prefixes))
        self._add(tokens + text, 0, len(tokens) - 1, prefix)

    @precondition(lambda self: self.prefixes)
    @rule(data=st.data())
    def unshare(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.prefixes))
        self.prefixes.remove(entry)
        self.scheduler.unshare(entry[0])

    def _add(self, prompt: list[int], new: int, next_logit: int, prefix: Prefix | None) -> None:
        if len(self.scheduler.waiting) >= 12:
            return
        sequence = self.scheduler.add(
            prompt, max_length=len(prompt) + new, next_logit=next_logit, prefix=prefix
        )
        self.sequences[sequence.id] = sequence
        self.prompts[sequence.id] = (prompt, new)
        self.seen[sequence.id] = list(range(next_logit))

    @rule()
    def step(self) -> None:
        before = {sequence.id for sequence in self.scheduler.running}
        batch = self.scheduler.next()
        admitted = {sequence.id for sequence in self.scheduler.running} - before
        left = [sequence.id for sequence in self.scheduler.waiting]
        assert all(newcomer < other for newcomer in admitted for other in left), "first come"
        assert len(self.scheduler.running) <= self.scheduler.limits.max_sequences
        if batch is None:
            stalled = self.scheduler.has_work and not self.outstanding
            assert not stalled, "work, nothing outstanding, and still nothing to do"
            return
        assert 0 < len(batch.tokens) <= self.scheduler.limits.max_batch_tokens
        self._note_logits(batch)
        busy = {span.sequence_id for span in batch.spans}
        assert len(busy) == len(batch.spans)
        for other in self.outstanding.values():
            assert not busy & other.keys(), "a sequence is in one outstanding batch at most"
        tokens = self.slots.run(batch, self.sequences)
        self.outstanding[batch.id] = {name: tokens.get(name, -1) for name in busy}

    def _note_logits(self, batch: Batch) -> None:
        rows = set(batch.logit_rows.tolist())
        for span in batch.spans:
            first = span.context - span.length - span.start
            here = range(span.start, span.start + span.length)
            self.seen[span.sequence_id] += [first + row for row in here if row in rows]

    @precondition(lambda self: self.outstanding)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        batch_id = data.draw(st.sampled_from(sorted(self.outstanding)))
        tokens = self.outstanding.pop(batch_id)
        self.scheduler.finish(
            batch_id, {name: token for name, token in tokens.items() if token >= 0}
        )

    @rule(times=st.integers(2, 20), kept=st.integers(0, 2))
    def advance(self, times: int, kept: int) -> None:
        """A run of steps as a pipeline makes them: the newest ``kept`` batches stay outstanding."""
        for _ in range(times):
            self._finish_all_but(kept)
            self.step()

    def _finish_all_but(self, kept: int) -> None:
        for batch_id in sorted(self.outstanding)[: max(0, len(self.outstanding) - kept)]:
            tokens = self.outstanding.pop(batch_id)
            drawn_now = {name: token for name, token in tokens.items() if token >= 0}
            self.scheduler.finish(batch_id, drawn_now)

    @precondition(lambda self: any(not entry.ended for entry in self.sequences.values()))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        alive = [name for name, entry in self.sequences.items() if not entry.ended]
        name = data.draw(st.sampled_from(alive))
        self.cancelled.add(name)
        self.scheduler.cancel(self.sequences[name])

    @invariant()
    def every_page_has_exactly_the_holders_that_refer_to_it(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        pool = self.scheduler.pool
        holders = [0] * pool.total
        lists = [entry.pages for entry in self.sequences.values()]
        for pages in [*lists, *(prefix.pages for prefix, _ in self.prefixes)]:
            for page in pages:
                holders[page] += 1
        assert holders == [pool.holders(page) for page in range(pool.total)]
        assert pool.free == holders.count(0)

    def teardown(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        for _ in range(5000):
            self._finish_all_but(0)
            if not self.scheduler.has_work:
                break
            self.step()
        assert all(sequence.ended for sequence in self.sequences.values()), "every request ends"
        for prefix, _ in self.prefixes:
            self.scheduler.unshare(prefix)
        assert self.scheduler.pool.free == self.scheduler.pool.total, "no page leaked"
        for name in self.sequences.keys() - self.cancelled:
            self._check_result(name)

    def _check_result(self, name: int) -> None:
        tokens, new = self.prompts[name]
        expected = list(tokens)
        for _ in range(new):
            expected.append(drawn(expected))
        assert self.sequences[name].tokens == expected
        assert self.seen[name] == list(range(len(expected) - 1)), "each row of logits once"


SchedulerMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None
)
TestScheduler = SchedulerMachine.TestCase


def test_a_pipeline_short_of_pages_preempts_only_what_no_batch_holds() -> None:
    machine = SchedulerMachine()
    machine.start(pages=10, budget=3, most=6, depth=2)
    machine.add_several(count=6, new=20)
    for _ in range(30):
        machine.advance(times=5, kept=1)
    machine.teardown()
