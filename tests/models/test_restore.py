from __future__ import annotations

import pytest
import torch

from matterhorn.errors import InputError
from matterhorn.models.convert import convert
from matterhorn.models.restore import restore_trainable, spread

from ..conftest import small_batch, small_network


@pytest.mark.parametrize("kind", ["1", "ternary"])
def test_a_spiking_network_can_be_trained_on(kind):
    network = convert(small_network(k=2, mean=True, weight_bits=kind))
    again = convert(restore_trainable(network))
    for name, connection in network.connections().items():
        other = again.connections()[name]
        assert torch.equal(connection.weights, other.weights), name
        assert torch.allclose(connection.scale, other.scale, rtol=1e-5)
    for name, population in network.populations().items():
        assert torch.equal(population.silent, again.populations()[name].silent)
        assert torch.equal(population.step, again.populations()[name].step)
    assert torch.equal(network.pooler.weights, again.pooler.weights)


def test_its_latent_weights_get_gradients_and_none_is_nearer_to_a_flip():
    model = restore_trainable(convert(small_network(k=2))).train()
    model(**small_batch()).logits.square().sum().backward()
    weight = model.layers()[0].attention.query.weight
    assert weight.grad is not None and bool(weight.grad.any())
    assert all(len(row.round(decimals=6).unique()) == 2 for row in weight.detach())
    assert torch.allclose(weight.detach().mean(1), torch.zeros(len(weight)), atol=1e-6)


def test_spread_weights_are_quantised_to_the_same_and_some_are_near_a_flip():
    torch.manual_seed(0)
    before, after = (restore_trainable(convert(small_network(k=2))) for _ in range(2))
    for layer, other in zip(before.layers(), spread(after).layers(), strict=True):
        one, two = layer.feed_forward.ffn1, other.feed_forward.ffn1
        assert torch.equal(one.integers()[0], two.integers()[0])
        assert torch.allclose(one.integers()[1], two.integers()[1], rtol=1e-5)
        near = (two.weight.abs() < 0.25 * two.integers()[1][:, None]).float().mean()
        assert 0.1 < near < 0.25, "a quarter of the mean size: 0.158 of a normal distribution"


def test_wider_weights_are_refused():
    with pytest.raises(InputError, match="one-bit or ternary"):
        restore_trainable(convert(small_network(weight_bits="2")))
