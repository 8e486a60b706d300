"""Activations of the head: right to float32, and the same bits wherever they are computed."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from matterhorn.kernels.activation import ACTIVATIONS, activate

X = np.concatenate([np.linspace(-12, 12, 4801), np.random.default_rng(0).normal(0, 3, 2000), [127, -127, 0]])
RIGHT = {
    "hardtanh": lambda x: min(1.0, max(-1.0, x)),
    "tanh": math.tanh,
    "relu": lambda x: max(0.0, x),
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_it_is_right(kind):
    x = X.astype(np.float32)
    y = activate(x, kind)
    right = np.array([RIGHT[kind](float(value)) for value in x])
    assert y.dtype == np.float32 and y.shape == x.shape
    assert np.allclose(y, right, rtol=2**-24, atol=1.1e-7)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_each_value_is_computed_alone(kind):
    x = X.astype(np.float32)
    alone = np.concatenate([activate(x[i : i + 1], kind) for i in range(0, len(x), 97)])
    assert np.array_equal(alone, activate(x, kind)[::97])


def test_bits_are_those_of_ieee_arithmetic():
    """Worked out once, on an x86 machine; sums, products and quotients are rounded alike everywhere."""
    x = np.arange(-5000, 5001).astype(np.float32) / 512
    digests = {kind: hashlib.sha256(activate(x, kind).tobytes()).hexdigest()[:12] for kind in ("tanh", "gelu")}
    assert digests == {"tanh": "4aeded2e7b5f", "gelu": "c1b719d00f52"}
