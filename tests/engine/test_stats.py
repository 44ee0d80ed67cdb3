import pytest

from banyan.engine.stats import WINDOW_STEPS, StepRates


def test_rates_count_only_the_time_of_steps_that_did_such_work() -> None:
    rates = StepRates()
    assert (rates.prefill_tokens_per_s, rates.decode_tokens_per_s) == (0.0, 0.0)
    rates.record(0.5, prefilled=100, decoded=0)
    rates.record(0.5, prefilled=100, decoded=4)
    rates.record(0.25, prefilled=0, decoded=4)
    assert rates.prefill_tokens_per_s == pytest.approx(200 / 1.0)
    assert rates.decode_tokens_per_s == pytest.approx(8 / 0.75)
    assert (rates.prefilled_tokens, rates.decoded_tokens) == (200, 8)


def test_old_steps_are_forgotten() -> None:
    rates = StepRates()
    rates.record(100.0, prefilled=0, decoded=1)
    for _ in range(WINDOW_STEPS):
        rates.record(0.1, prefilled=0, decoded=1)
    assert rates.decode_tokens_per_s == pytest.approx(10)
    assert rates.decoded_tokens == WINDOW_STEPS + 1
