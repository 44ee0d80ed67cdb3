"""Forecast: how long a given layout takes on given machines. One function for whoever wants the
cost model's word beside a measurement."""

from __future__ import annotations

from dataclasses import dataclass

from banyan.core.layout import Facts, Layout, ModelShape, Workload
from banyan.plan.cost import Machines, Price, decode, prefill
from banyan.plan.matrices import WeightKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """``prefill``: the prompts of all requests, to their first tokens; ``decode``: one further
    token for each of them."""

    prefill: Price
    decode: Price

    @property
    def prefill_s(self) -> float:
        return self.prefill.seconds

    @property
    def decode_s(self) -> float:
        return self.decode.seconds


def forecast(
    shape: ModelShape,
    kind: WeightKind,
    layout: Layout,
    facts: Facts,
    workload: Workload,
    *,
    step_rows: int = 0,
    algorithm: str = "auto",
) -> Forecast:
    """``layout`` on all devices of ``facts``, host by host. Prompts go through ``step_rows`` tokens
    at a time (0: all at once); sums are made by ``algorithm``, or whichever is cheapest."""
    machines = Machines.all_of(facts, algorithm=algorithm)
    batch, context = workload.concurrency, workload.prompt + workload.generate
    return Forecast(
        prefill=prefill(
            shape,
            kind,
            layout,
            machines,
            prompt=workload.prompt,
            batch=batch,
            step_rows=step_rows,
        ),
        decode=decode(shape, kind, layout, machines, context=context, batch=batch),
    )
