"""Prompts that are attended together, beside each by itself."""

from __future__ import annotations

import pytest
import torch

from banyan.engine.attention import attend_prefill, whole_prefill
from banyan.engine.batch import Span
from banyan.engine.pools import DensePool

PAGE, WIDTH = 4, 8


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (6, 2)])
def test_whole_prompts_of_one_length_attend_together_as_they_do_alone(heads, kv_heads):
    torch.manual_seed(1)
    length, pages = 10, ((5, 0, 3), (1, 7, 2), (6, 4, 8))
    spans = [
        Span(sequence_id=i, start=i * length, length=length, context=length, pages=pages[i])
        for i in range(3)
    ]
    q = torch.randn(3 * length, heads, WIDTH)
    numbers = torch.randn(2, 9, PAGE, kv_heads, WIDTH)
    keys, values = (DensePool(part, torch.float32) for part in numbers)
    together, alone = torch.zeros_like(q), torch.zeros_like(q)
    attend_prefill(q, keys, values, whole_prefill(spans), 0.3, together)
    for span in spans:
        attend_prefill(q, keys, values, whole_prefill([span]), 0.3, alone)
    assert together.std() > 0.1
    assert torch.allclose(together, alone, atol=1e-6)
