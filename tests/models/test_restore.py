"""The quantized network behind a program: the same answers, and something to train on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from matterhorn.models import convert, quantize, restore, restore_trainable
from matterhorn.models.restore import LEAST_SHARE, lift, spread
from matterhorn.program.config import WEIGHTS

from ..networks import small_arrays, small_batch, small_bert, small_network, small_program


def test_a_restored_network_gives_what_the_first_one_gave():
    network = small_network(k=2, mean=True, weights="int4", kv_bits=3, digital="shift")
    again = restore(convert(network, labels=["no", "yes"]))
    one, other = network.expected(small_arrays()), again.expected(small_arrays())
    assert np.array_equal(one.logits, other.logits)
    assert all(np.array_equal(levels, other.levels[site]) for site, levels in one.levels.items())
    assert again.config.labels == ("no", "yes") and not any(p.requires_grad for p in again.parameters())


@pytest.mark.parametrize("array", ["offset", "thresholds", "table"])
def test_what_is_folded_at_conversion_plays_no_part(array):
    program = small_program(k=2)
    more = -1 if array == "table" else 1
    changed = {n: np.where(value == 0, 0, value + more).astype(value.dtype) for n, value in program.arrays().items()}
    changed = {name: value for name, value in changed.items() if name.endswith(array)}
    other = type(program).from_arrays(program.config, program.arrays() | changed, labels=program.labels)
    batch = small_arrays()
    assert changed and np.array_equal(restore(other).expected(batch).logits, restore(program).expected(batch).logits)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_program_can_be_trained_on(kind):
    program = small_program(k=2, mean=True, weights=kind)
    again = convert(restore_trainable(program))
    for site, connection in program.connections().items():
        other = again.connections()[site]
        assert np.array_equal(connection.weights, other.weights), site
        assert np.allclose(connection.scale, other.scale, rtol=1e-5)
    for site, population in program.populations().items():
        other = again.populations()[site]
        assert np.array_equal(population.code.silent, other.code.silent)
        assert np.array_equal(population.code.reference, other.code.reference)
        assert population.scale == other.scale
    assert np.array_equal(program.pooler.weights, again.pooler.weights)
    assert again.config == program.config


def test_its_latent_weights_get_gradients_and_none_is_nearer_to_a_flip():
    network = restore_trainable(small_program(k=2)).train()
    network(**small_batch()).logits.square().sum().backward()
    weight = network.layers()[0].connection("query").weight
    assert weight.grad is not None and bool(weight.grad.any())
    assert all(len(row.round(decimals=6).unique()) == 2 for row in weight.detach())
    assert torch.allclose(weight.detach().mean(1), torch.zeros(len(weight)), atol=1e-6)
    assert not any(p.requires_grad for p in network.embeddings.parameters())


def test_spread_weights_are_quantized_to_the_same_and_some_are_near_a_flip():
    torch.manual_seed(0)
    before, after = (restore_trainable(small_program(k=2)) for _ in range(2))
    for layer, other in zip(before.layers(), spread(after).layers(), strict=True):
        one, two = layer.connection("ffn1"), other.connection("ffn1")
        assert torch.equal(one.integers()[0], two.integers()[0])
        assert torch.allclose(one.integers()[1], two.integers()[1], rtol=1e-5)
        near = (two.weight.abs() < 0.25 * two.integers()[1][:, None]).float().mean()
        assert 0.1 < near < 0.25, "a quarter of the mean size: 0.158 of a normal distribution"


def test_only_one_bit_weights_are_spread():
    network = restore_trainable(small_program(weights="ternary"))
    before = {site: linear.weight.clone() for site, linear in network.connections().items()}
    spread(network)
    assert all(torch.equal(linear.weight, before[site]) for site, linear in network.connections().items())


def test_neurons_that_were_pruned_stay_so():
    """Rows of weights that are all 0 have one sign; sizes of the other were divided by none of them."""
    teacher = small_bert()
    for layer in teacher.bert.encoder.layer:
        layer.intermediate.dense.weight.data[:8] = 0
    program = convert(quantize(teacher, batches=[small_batch()]))
    network = spread(restore_trainable(program))
    for site, linear in network.connections().items():
        assert linear.weight.isfinite().all()
        assert np.array_equal(linear.integers()[0].detach().numpy(), program.connections()[site].weights)


def test_lifted_weights_are_quantized_to_the_same_and_none_is_at_a_flip():
    torch.manual_seed(0)
    network = spread(restore_trainable(small_program(k=2)))
    before = {site: [one.clone() for one in linear.integers()] for site, linear in network.connections().items()}
    sizes = {site: linear.weight.detach().clone() for site, linear in network.connections().items()}
    for site, linear in lift(network).connections().items():
        integers, scale = linear.integers()
        assert torch.equal(integers, before[site][0]), site
        assert torch.allclose(scale, before[site][1], rtol=1e-5), site
        least = (linear.weight - linear.weight.mean(1, keepdim=True)).abs().min(1).values / scale
        assert float(least.detach().min()) > 0.8 * LEAST_SHARE, "each side is scaled to its half of the row's total"
        large = sizes[site].abs() > scale[:, None]
        assert torch.allclose(linear.weight[large], sizes[site][large], rtol=0.2), "the others hardly move"


def test_only_one_bit_weights_are_lifted():
    network = restore_trainable(small_program(weights="int4"))
    before = {site: linear.weight.clone() for site, linear in network.connections().items()}
    lift(network)
    assert all(torch.equal(linear.weight, before[site]) for site, linear in network.connections().items())
