from __future__ import annotations

import pytest
import torch

from matterhorn.nn import ActivationQuantiser, QuantisedLinear, StoredQuantiser, quantise_weights
from matterhorn.nn.quantisers import LEAK


def test_levels_by_hand():
    quantiser = ActivationQuantiser(4, signed=True)
    quantiser.step.data.fill_(0.5)
    x = torch.tensor([-9.0, -4.0, -0.26, 0.2, 0.26, 3.4, 9.0])
    assert quantiser.levels(x).tolist() == [0, 0, 7, 8, 9, 15, 15]
    quantiser.eval()
    assert quantiser(x).tolist() == [-8, -8, -1, 0, 1, 7, 7]


def test_training_and_evaluation_give_the_same_levels():
    quantiser = ActivationQuantiser(4, signed=True, neurons=3, dead_zone=2)
    quantiser.silent.copy_(torch.tensor([8, 9, 5]))
    quantiser.reads.copy_(torch.tensor([64, 70, 40]))
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 4
    trained = quantiser.train()(x)
    events = quantiser.events
    assert torch.equal(trained, quantiser.eval()(x))
    silent = (quantiser.levels(x) - quantiser.silent).abs() <= 2
    assert float(events.detach()) == float((~silent).sum())


def test_gradient_passes_within_range_only():
    quantiser = ActivationQuantiser(2, signed=True).train()
    x = torch.tensor([-5.0, -1.0, 0.3, 5.0], requires_grad=True)
    quantiser(x).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 0]


def test_price_of_events_pushes_towards_silence():
    quantiser = ActivationQuantiser(4, signed=True, dead_zone=1).train()
    x = torch.tensor([-2.0, 0.1, 2.0, 6.0], requires_grad=True)
    quantiser(x)
    quantiser.events.backward()
    assert x.grad[0] < 0 < x.grad[2]  # descent moves both towards zero
    assert x.grad[1] == 0 == x.grad[3]
    assert quantiser.step.grad < 0  # descent widens the step


def test_one_bit_store_is_a_sign():
    store = StoredQuantiser(1).eval()
    assert store(torch.tensor([-3.0, -0.1, 0.0, 2.0])).tolist() == [-1, -1, 1, 1]
    assert StoredQuantiser(4).eval()(torch.tensor([-30.0, 2.4, 30.0])).tolist() == [-8, 2, 7]


@pytest.mark.parametrize(("kind", "values"), [("1", {-1, 1}), ("ternary", {-1, 0, 1}), ("2", {-2, -1, 0, 1})])
def test_weights_take_the_values_of_their_kind(kind, values):
    weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(0)) + 0.1
    integers, scale = quantise_weights(weight, kind)
    assert set(integers.unique().tolist()) == values
    assert bool((scale > 0).all())


def test_one_bit_scale_minimises_the_error():
    weight = torch.randn(3, 200, generator=torch.Generator().manual_seed(1))
    centred = weight - weight.mean(1, keepdim=True)
    integers, scale = quantise_weights(weight, "1")
    best = (centred - scale[:, None] * integers).square().sum(1)
    for factor in (0.9, 1.1):
        assert bool(((centred - factor * scale[:, None] * integers).square().sum(1) > best).all())


def test_weight_gradient_is_that_of_the_scaled_weight():
    linear = QuantisedLinear(8, 4, "1").train()
    levels = torch.randint(-8, 8, (5, 8), generator=torch.Generator().manual_seed(0)).float()
    linear(levels, torch.tensor(0.5)).sum().backward()
    expected = 0.5 * levels.sum(0).expand(4, 8)
    assert torch.allclose(linear.weight.grad, expected, atol=1e-5)


def test_a_quarter_of_the_gradient_reaches_what_is_deep_in_the_dead_zone():
    quantiser = ActivationQuantiser(4, signed=True, dead_zone=3).train()
    x = torch.tensor([-9.0, -6.0, -3.2, -2.9, 0.4, 2.8, 3.1, 5.0, 7.6], requires_grad=True)
    quantiser(x).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, LEAK, LEAK, LEAK, 1, 1, 0]


def test_without_a_dead_zone_the_gradient_is_straight_through():
    quantiser = ActivationQuantiser(4, signed=True).train()
    x = torch.tensor([-3.0, -0.4, 0.0, 1.4, 2.0], requires_grad=True)
    quantiser(x).sum().backward()
    assert x.grad.tolist() == [1, 1, 1, 1, 1]


def test_gains_are_learned_and_multiply_what_is_quantised():
    quantiser = ActivationQuantiser(4, signed=True, gains=2).train()
    quantiser.gain.data.copy_(torch.tensor([2.0, 0.5]))
    x = torch.tensor([[1.4, 4.4], [-3.0, 1.2]])
    assert quantiser(x).tolist() == quantiser.eval()(x).tolist() == [[3, 2], [-6, 1]]
    quantiser.train()(x).sum().backward()
    assert torch.allclose(quantiser.gain.grad, x.sum(0))
