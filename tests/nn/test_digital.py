from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from matterhorn.nn.digital import (
    EXP_ONE,
    FixedLayerNorm,
    digital_linear,
    exp_table,
    layer_norm,
    normalise,
    softmax_weights,
)


def rows(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_layer_norm_is_layer_norm():
    x, weight, bias = rows(20, 96, scale=3), rows(96, seed=1), rows(96, seed=2)
    expected = F.layer_norm(x, (96,), weight, bias, 1e-12)
    assert torch.allclose(layer_norm(x, weight, bias, 1e-12), expected, atol=2e-3)


def test_layer_norm_has_the_same_bits_in_any_batch_and_order():
    x, weight, bias = rows(33, 384, scale=2), rows(384, seed=1), rows(384, seed=2)
    together = layer_norm(x, weight, bias, 1e-12)
    alone = torch.cat([layer_norm(row[None], weight, bias, 1e-12) for row in x])
    turned = torch.randperm(384, generator=torch.Generator().manual_seed(3))
    mixed = layer_norm(x[:, turned], weight[turned], bias[turned], 1e-12)
    assert torch.equal(together, alone)
    assert torch.equal(together[:, turned], mixed)


def test_layer_norm_in_training_is_close_to_evaluation():
    norm = FixedLayerNorm(64, 1e-12)
    x = rows(8, 64)
    assert torch.allclose(norm.train()(x), norm.eval()(x), atol=2e-3)


def test_shifted_norm_divides_by_a_power_of_two():
    x, ones, zeros = rows(9, 64, scale=5), torch.ones(64), torch.zeros(64)
    ratio = layer_norm(x, ones, zeros, 1e-12, shift=True) / layer_norm(x, ones, zeros, 1e-12)
    per_row = ratio.nanmedian(-1).values
    assert bool(((per_row > 0.7) & (per_row < 1.42)).all())
    fixed = (x * 4096).round().double()
    centred = fixed - fixed.mean(-1, keepdim=True)
    factor = layer_norm(x, ones, zeros, 1e-12, shift=True).double() / centred
    exponent = factor.nanmedian(-1).values.log2()
    assert torch.allclose(exponent, exponent.round(), atol=1e-6)


@pytest.mark.parametrize("scale", [0.5, 0.05, 0.003])
def test_softmax_from_the_table_is_softmax(scale):
    scores = torch.randint(-200, 200, (3, 2, 7, 9), generator=torch.Generator().manual_seed(0))
    keys = torch.arange(9) < torch.tensor([9, 4, 1])[:, None]
    keys = keys[:, None, None, :]
    shares = normalise(softmax_weights(scores, keys, exp_table(scale)))
    expected = (scores * scale).masked_fill(~keys, -torch.inf).softmax(-1)
    assert torch.allclose(shares, expected, atol=1e-3)
    assert bool((shares * ~keys == 0).all())


def test_exp_table_ends_in_zero_and_falls():
    table = exp_table(0.1)
    assert table[0] == EXP_ONE and table[-1] == 0
    assert bool((table.diff() <= 0).all())
    powers = exp_table(0.1, shift=True)
    exponents = np.log2(powers[powers > 1].numpy())
    assert np.array_equal(exponents, np.round(exponents))


def test_shifted_softmax_divides_by_a_power_of_two():
    weights = torch.tensor([[16384.0, 0.0], [16384.0, 16384.0], [16384.0, 1.0]])
    shares = normalise(weights, shift=True)
    assert shares[:, 0].tolist() == [1.0, 0.5, 0.5]


def test_head_sums_exactly():
    x = rows(5, 300)
    integers = torch.randint(-127, 128, (4, 300), generator=torch.Generator().manual_seed(1)).to(torch.int8)
    scale, bias = torch.full((4,), 2.0**-7), torch.zeros(4)
    expected = [[sum(round(float(v) * 4096) * int(n) for v, n in zip(r, w, strict=True)) for w in integers] for r in x]
    expected = torch.tensor(expected, dtype=torch.float64) / 4096 / 128
    assert torch.equal(digital_linear(x, integers, scale, bias), expected.to(torch.float32))
