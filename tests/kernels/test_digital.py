"""Digital kernels give the bits of the definitions that training uses, on any data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from matterhorn.coding import Code, encode
from matterhorn.kernels import digital
from matterhorn.kernels.layout import Readout, SoftmaxLayout, Table
from matterhorn.kernels.softmax import NO_KEY, share_levels, weigh
from matterhorn.nn.digital import digital_linear, exp_table, layer_norm, normalize, softmax_weights
from matterhorn.program.parts import Population, Store

from .arrays import draw

SEEDS = st.integers(0, 2**31)
SCALES = st.sampled_from([1e-3, 0.1, 1.0, 30.0, 1e4])


def normal(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (draw(seed).standard_normal(shape) * scale).astype(np.float32)


def torched(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays]


@settings(max_examples=40)
@given(SEEDS, SCALES, st.integers(1, 70), st.booleans(), st.sampled_from([1e-12, 1e-5, 0.5]))
def test_settle(seed, scale, width, by_shifts, eps):
    potentials = draw(seed).integers(-5000, 5000, (4, width)).astype(np.int32)
    residual = normal(seed + 1, 4, width, scale=scale)
    own = normal(seed + 2, width, scale=0.01), *(normal(seed + i, width) for i in (3, 4, 5))
    out = np.empty_like(residual)
    assert digital.settle(potentials, Readout(*own, eps, by_shifts), residual, np.empty(out.shape[1], np.int32), out)
    a, r, factor, bias, weight, shift = torched(potentials, residual, *own)
    expected = layer_norm(a.float() * factor + bias + r, weight, shift, eps, shift=by_shifts)
    assert np.array_equal(out, expected.numpy())


@settings(max_examples=40)
@given(SEEDS, SCALES, st.integers(1, 6), st.sampled_from(["hidden", "probabilities"]), st.integers(1, 70))
def test_values_to_slots(seed, scale, bits, name, width):
    code = Code(bits, draw(seed).integers(0, 2**bits, width), min(1, (2**bits - 1) // 2))
    own = Population(name, width, code, np.float32(0.37))
    x = normal(seed, 5, width, scale=scale)
    x[0] = np.rint(x[0] / 0.185) * np.float32(0.185)  # ties
    levels, slots = np.empty(x.shape, np.uint8), np.empty(x.shape, np.uint8)
    assert digital.code_values(x, own.pitch, own.layout, levels, slots)
    right = ((torch.from_numpy(x) / 0.37).round() + int(own.zero[0])).clamp(0, code.top).numpy().astype(np.uint8)
    assert np.array_equal(levels, right) and np.array_equal(slots, encode(right, code))


@settings(max_examples=30)
@given(SEEDS, st.sampled_from([1, 63, 64, 65, 130]), st.integers(1, 5), st.sampled_from([200, 10**6]))
def test_potentials_to_slots(seed, width, bits, reach):
    own = draw(seed)
    code = Code(bits, own.integers(0, 2**bits, width))
    thresholds = np.sort(own.integers(-reach, reach, (width, 2**bits - 1)).astype(np.int32), 1)
    fires = Population("queries", width, code, np.float32(1), thresholds=thresholds)
    potentials = own.integers(-2 * reach, 2 * reach, (4, width)).astype(np.int32)
    potentials[0] = thresholds[:, 0]
    levels, slots = np.empty(potentials.shape, np.uint8), np.empty(potentials.shape, np.uint8)
    digital.fire(potentials, 0, fires.limits, fires.layout, levels, slots)
    right = (potentials[..., None] >= thresholds).sum(-1).astype(np.uint8)
    assert np.array_equal(levels, right) and np.array_equal(slots, encode(right, code))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_stored_operands(bits):
    own = draw(bits)
    thresholds = np.sort(own.integers(-50, 50, (70, 2**bits - 1)).astype(np.int32), 1)
    potentials = own.integers(-99, 99, (6, 200)).astype(np.int32)
    operand = np.empty((6, 70), np.int8)
    digital.store(potentials, 100, Store(bits, np.float32(1), thresholds).limits, bits, operand)
    level = (potentials[:, 100:170, None] >= thresholds).sum(-1)
    assert np.array_equal(operand, 2 * level - 1 if bits == 1 else level - 2 ** (bits - 1))


@settings(max_examples=40)
@given(SEEDS, st.integers(1, 90), st.booleans(), st.sampled_from([1e-4, 0.02, 0.5]))
def test_softmax(seed, length, by_shifts, scale):
    scores = draw(seed).integers(-300, 300, length).astype(np.int32)
    table = exp_table(scale, shift=by_shifts)
    weights = softmax_weights(torch.from_numpy(scores), torch.ones(length, dtype=torch.bool), table)
    right = (normalize(weights, shift=by_shifts) / torch.tensor(0.031)).round().clamp(0, 15).to(torch.uint8).numpy()
    room = -(-length // 16) * 16
    padded = np.full(room, NO_KEY, np.int32)
    padded[:length] = scores
    levels, none = np.empty(room, np.uint8), np.zeros((1, 0), np.int32)
    softmax = SoftmaxLayout(table.numpy(), none, np.float32(0.031), by_shifts)
    weights = np.empty(room, np.float32)
    weigh(padded, 1, room, length, softmax.table, weights)
    share_levels(weights, 1, room, softmax, 15, levels)
    assert np.array_equal(levels[:length], right) and not levels[length:].any()


@settings(max_examples=30)
@given(SEEDS, SCALES, st.integers(1, 200))
def test_head(seed, scale, width):
    x, weights = normal(seed, 3, width, scale=scale), normal(seed, 7, width, scale=60).clip(-127, 127).astype(np.int8)
    factor, bias, out = normal(seed + 1, 7), normal(seed + 2, 7), np.empty((3, 7), np.float32)
    assert digital.head(x, weights, factor, bias, np.empty((2, x.shape[1]), np.int32), out)
    assert np.array_equal(out, digital_linear(*torched(x, weights, factor, bias)).numpy())


def test_embedding():
    own = draw(0)
    tables = [Table(own.integers(-127, 128, (n, 33)).astype(np.int8), normal(n, n, scale=0.01)) for n in (50, 20, 2)]
    numbers = own.integers(0, 50, 20), np.arange(20), own.integers(0, 2, 20)
    weight, shift, out = normal(1, 33), normal(2, 33), np.empty((20, 33), np.float32)
    assert digital.embed(*tables, *numbers, weight, shift, 1e-12, np.empty(out.shape[1], np.int32), out)
    word, position, segment = (t.rows[i] * t.scale[i][:, None] for t, i in zip(tables, numbers, strict=True))
    right = layer_norm(*torched(word + position + segment, weight, shift), 1e-12)
    assert np.array_equal(out, right.numpy())


def test_values_that_are_no_numbers_are_noticed():
    own = Population("hidden", 4, Code(4, np.int16(8)), np.float32(1))
    levels, slots = np.empty((1, 4), np.uint8), np.empty((1, 4), np.uint8)
    x = np.array([[0.0, 1.0, np.nan, 2.0]], np.float32)
    assert not digital.code_values(x, own.pitch, own.layout, levels, slots)


@pytest.mark.parametrize(
    ("x", "power"), [(1.0, 1.0), (1.41, 1.0), (1.42, 2.0), (0.7, 0.5), (0.71, 1.0), (3e-9, 2.0**-28)]
)
def test_powers_of_two(x, power):
    assert digital.power_of_two(x) == power
