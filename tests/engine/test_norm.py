"""RMS norm against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from banyan.engine.norm import RmsNorm


@pytest.mark.parametrize("shape", [(1, 8), (5, 16), (3, 4, 6)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
def test_it_is_the_rms_norm_of_torch(shape, scale):
    generator = torch.manual_seed(4)
    x = torch.randn(shape, generator=generator) * scale
    weight = torch.randn(shape[-1], generator=generator)
    expected = functional.rms_norm(x, (shape[-1],), weight, 1e-5)
    assert torch.allclose(RmsNorm.of(weight, 1e-5)(x), expected, rtol=1e-5, atol=1e-6)


def test_rows_of_zeros_stay_zeros():
    assert not RmsNorm.of(torch.ones(4), 1e-5)(torch.zeros(2, 4)).any()


def test_heads_may_weigh_differently():
    weight = torch.randn(3, 4, generator=torch.manual_seed(5))
    x = torch.randn(2, 3, 4, generator=torch.manual_seed(6))
    whole = RmsNorm.of(weight, 1e-6)(x)
    for head in range(3):
        alone = RmsNorm.of(weight[head], 1e-6)(x[:, head])
        assert torch.allclose(whole[:, head], alone)
