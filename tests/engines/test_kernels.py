"""Digital kernels give the bits of their torch definitions, on any data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from matterhorn.coding import encode
from matterhorn.engines import digital
from matterhorn.engines.kernels import steps
from matterhorn.engines.kernels.attention import NO_KEY, share_levels
from matterhorn.models.spiking import Coder, Connection, Firing, Head, Norm, Store
from matterhorn.nn import QuantisedEmbeddings
from matterhorn.nn.digital import digital_linear, exp_table, layer_norm, normalise, softmax_weights

SEEDS = st.integers(0, 2**31)
SCALES = st.sampled_from([1e-3, 0.1, 1.0, 30.0, 1e4])


def normal(seed: int, *shape: int, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool((a == b).all())


@settings(max_examples=40, deadline=None)
@given(SEEDS, SCALES, st.integers(1, 70), st.booleans())
def test_settle(seed, scale, width, shift):
    draw = torch.Generator().manual_seed(seed)
    potentials = torch.randint(-5000, 5000, (4, width), generator=draw, dtype=torch.int32)
    residual = normal(seed + 1, 4, width, scale=scale)
    connection, norm = Connection(3, width, "1"), Norm(width)
    connection.scale.copy_(normal(seed + 2, width, scale=0.01))
    connection.bias.copy_(normal(seed + 3, width))
    norm.weight.copy_(normal(seed + 4, width))
    norm.bias.copy_(normal(seed + 5, width))
    expected = layer_norm(connection.values(potentials) + residual, norm.weight, norm.bias, 1e-12, shift=shift)
    assert same_bits(digital.settle(potentials, connection, residual, norm, 1e-12, shift=shift), expected)


@settings(max_examples=40, deadline=None)
@given(SEEDS, SCALES, st.integers(1, 6), st.booleans(), st.integers(1, 70))
def test_code(seed, scale, bits, signed, width):
    population = Coder(width, bits, signed=signed, dead_zone=min(1, (2**bits - 1) // 2))
    population.step.fill_(0.37)
    population.silent.copy_(torch.randint(0, 2**bits, (width,), generator=torch.Generator().manual_seed(seed)))
    population.reads.copy_(8 * population.silent)
    x = normal(seed, 5, width, scale=scale)
    x[0] = (x[0] / 0.185).round() * 0.185  # ties
    levels, slots = digital.code(x, population)
    assert same_bits(levels, population.levels(x))
    assert same_bits(slots, encode(levels, population.code))


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from([1, 63, 64, 65, 130]), st.integers(1, 5), st.sampled_from([200, 10**6]))
def test_fire(seed, width, bits, reach):
    draw = torch.Generator().manual_seed(seed)
    population = Firing(width, bits, signed=True, dead_zone=0, rows=width)
    thresholds = torch.randint(-reach, reach, (width, 2**bits - 1), generator=draw, dtype=torch.int32)
    population.thresholds.copy_(thresholds.sort(1).values)
    potentials = torch.randint(-2 * reach, 2 * reach, (4, width), generator=draw, dtype=torch.int32)
    potentials[0] = population.thresholds[:, 0]
    assert same_bits(digital.reach(potentials, population), population.levels(potentials))
    assert same_bits(digital.fire(potentials, population), encode(population.levels(potentials), population.code))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_store(bits):
    store = Store(70, bits)
    store.thresholds.copy_(torch.randint(-50, 50, (70, 2**bits - 1), dtype=torch.int32).sort(1).values)
    potentials = torch.randint(-99, 99, (6, 200), dtype=torch.int32)
    assert same_bits(digital.store(potentials, store, 100, 70), store.operand(potentials[:, 100:170]))


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 90), st.booleans(), st.sampled_from([1e-4, 0.02, 0.5]))
def test_softmax(seed, length, shift, scale):
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randint(-300, 300, (length,), generator=draw, dtype=torch.int32)
    table, step = exp_table(scale, shift=shift), torch.tensor(0.031)
    shares = normalise(softmax_weights(scores, torch.ones(length, dtype=torch.bool), table), shift=shift)
    expected = (shares / step).round().clamp(0, 15).to(torch.uint8)
    room = -(-length // 16) * 16
    padded = np.full(room, NO_KEY, np.int32)
    padded[:length] = scores.numpy()
    levels = np.empty(room, np.uint8)
    share_levels(padded, table.numpy(), np.float32(step), 15, shift, np.empty(room, np.float32), levels)
    assert (levels[:length] == expected.numpy()).all()
    assert not levels[length:].any()


@settings(max_examples=30, deadline=None)
@given(SEEDS, SCALES, st.integers(1, 200))
def test_head(seed, scale, width):
    head, x = Head(width, 7), normal(seed, 3, width, scale=scale)
    head.weights.copy_(normal(seed, 7, width, scale=60).clamp(-127, 127))
    head.scale.copy_(normal(seed + 1, 7))
    head.bias.copy_(normal(seed + 2, 7))
    assert same_bits(digital.head(x, head), digital_linear(x, head.weights, head.scale, head.bias))
    assert same_bits(digital.pooled(x, head, _back(7)), _logits(x, head))


def _back(width: int) -> Head:
    head = Head(width, 2)
    head.weights.copy_(torch.arange(2 * width).view(2, width) - width)
    return head


def _logits(x: torch.Tensor, head: Head) -> torch.Tensor:
    last = _back(7)
    pooled = F.hardtanh(digital_linear(x, head.weights, head.scale, head.bias))
    return digital_linear(pooled, last.weights, last.scale, last.bias)


def test_embed():
    table = QuantisedEmbeddings(50, 20, 2, 33, 1e-12).eval().requires_grad_(False)
    for i, name in enumerate(table.TABLES):
        table.fill(name, normal(i, *getattr(table, name).shape))
    tokens, types = torch.randint(0, 50, (1, 20)), torch.randint(0, 2, (1, 20))
    assert same_bits(digital.embed(table, tokens[0], torch.arange(20), types[0]), table(tokens, types)[0])
    with pytest.raises(IndexError, match="outside a table of 50"):
        digital.embed(table, torch.tensor([50]), torch.tensor([0]), torch.tensor([0]))


def test_values_that_are_no_numbers_raise():
    population, x = Coder(4, 4, signed=True, dead_zone=0), torch.tensor([[0.0, 1.0, float("nan"), 2.0]])
    with pytest.raises(ValueError, match="no number"):
        digital.code(x, population)


def test_powers_of_two():
    for x, expected in ((1.0, 1.0), (1.41, 1.0), (1.42, 2.0), (0.7, 0.5), (0.71, 1.0), (3e-9, 2.0**-28)):
        assert steps.power_of_two(x) == expected
