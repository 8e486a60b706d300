from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from matterhorn.coding.fixed import EXP_ONE
from matterhorn.nn import DigitalLinear, QuantizedEmbeddings, quantize_int8
from matterhorn.nn.digital import (
    FixedDigitalLinear,
    FixedLayerNorm,
    digital_linear,
    exp_table,
    layer_norm,
    normalize,
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
    shuffled = layer_norm(x[:, turned], weight[turned], bias[turned], 1e-12)
    assert torch.equal(together, alone)
    assert torch.equal(together[:, turned], shuffled)


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
    centered = fixed - fixed.mean(-1, keepdim=True)
    factor = layer_norm(x, ones, zeros, 1e-12, shift=True).double() / centered
    exponent = factor.nanmedian(-1).values.log2()
    assert torch.allclose(exponent, exponent.round(), atol=1e-6)


@pytest.mark.parametrize("scale", [0.5, 0.05, 0.003])
def test_softmax_from_the_table_is_softmax(scale):
    scores = torch.randint(-200, 200, (3, 2, 7, 9), generator=torch.Generator().manual_seed(0))
    keys = torch.arange(9) < torch.tensor([9, 4, 1])[:, None]
    keys = keys[:, None, None, :]
    shares = normalize(softmax_weights(scores, keys, exp_table(scale)))
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


@pytest.mark.parametrize("scale", [0.02, 0.1, 0.5])
def test_exp_table_holds_every_weight_that_does_not_round_to_zero(scale):
    weights = np.round(EXP_ONE * np.exp(-scale * np.arange(1000)))
    table = exp_table(scale).numpy()
    assert weights[-1] == 0 and np.array_equal(table[table > 0], weights[weights > 0])


def test_shifted_softmax_divides_by_a_power_of_two():
    weights = torch.tensor([[16384.0, 0.0], [16384.0, 16384.0], [16384.0, 1.0]])
    shares = normalize(weights, shift=True)
    assert shares[:, 0].tolist() == [1.0, 0.5, 0.5]


def test_head_sums_exactly():
    x = rows(5, 300)
    integers = torch.randint(-127, 128, (4, 300), generator=torch.Generator().manual_seed(1)).to(torch.int8)
    scale, bias = torch.full((4,), 2.0**-7), torch.zeros(4)
    expected = [[sum(round(float(v) * 4096) * int(n) for v, n in zip(r, w, strict=True)) for w in integers] for r in x]
    expected = torch.tensor(expected, dtype=torch.float64) / 4096 / 128
    assert torch.equal(digital_linear(x, integers, scale, bias), expected.to(torch.float32))


@pytest.mark.parametrize("keys", [7, 1500, 4000])
@pytest.mark.parametrize("shift", [False, True])
def test_softmax_sums_exactly_at_any_length(keys, shift):
    """More than 1024 keys add up beyond what float32 holds: the sum is rounded once, whatever the order."""
    weights = torch.randint(0, int(EXP_ONE) + 1, (3, keys), generator=torch.Generator().manual_seed(keys)).float()
    weights[:, 0] = EXP_ONE
    shares = normalize(weights, shift=shift)
    for row, own in zip(weights.tolist(), shares, strict=True):
        total = np.float32(sum(map(int, row)))
        if shift:
            total = np.float32(2) ** np.float32(np.ceil(np.log2(float(total))))
        assert np.array_equal(own.numpy(), np.array(row, np.float32) / total)
    turned = torch.randperm(keys, generator=torch.Generator().manual_seed(1))
    assert torch.equal(normalize(weights[:, turned], shift=shift), shares[:, turned])


def test_rows_in_8_bits_are_near_and_use_the_whole_range():
    weight = rows(6, 50, scale=0.3)
    integers, scale = quantize_int8(weight)
    assert integers.dtype == torch.int8 and integers.abs().amax(1).tolist() == [127] * 6
    assert bool(((weight - scale[:, None] * integers).abs() <= scale[:, None] / 2 + 1e-7).all())
    zeros = quantize_int8(torch.zeros(2, 3))
    assert not zeros[0].any() and bool((zeros[1] > 0).all())


def test_a_digital_map_rounds_its_weights_in_training_too_and_learns_through_that():
    linear, x = DigitalLinear(50, 3), rows(4, 50)
    trained = linear.train()(x)
    assert torch.allclose(trained, linear.eval()(x), atol=1e-3)
    trained.sum().backward()
    assert torch.allclose(linear.weight.grad, x.sum(0).expand(3, 50), atol=1e-5)
    fixed = FixedDigitalLinear(*quantize_int8(linear.weight.detach()), linear.bias.detach())
    assert torch.equal(fixed(x), linear(x))


def test_embeddings_are_rows_in_8_bits_added_and_normed():
    table = QuantizedEmbeddings(20, 9, 2, 16, 1e-12).eval()
    floats = {"word": rows(20, 16), "position": rows(9, 16, seed=1), "segment": rows(2, 16, seed=2)}
    for name, weight in floats.items():
        table.fill(name, weight)
    tokens, types = torch.tensor([[3, 19, 0]]), torch.tensor([[0, 1, 1]])
    expected = floats["word"][tokens] + floats["position"][:3] + floats["segment"][types]
    assert torch.allclose(table(tokens, types), F.layer_norm(expected, (16,)), atol=0.05)
