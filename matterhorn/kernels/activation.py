"""Activations of the head, between pooler and classifier, computed with additions, multiplications and divisions only.

IEEE 754 rounds these the same everywhere, whereas the last bit of a library's tanh or erf depends on the machine. A
program and the network that it was converted from therefore give bit-identical results.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

ACTIVATIONS = ("hardtanh", "tanh", "relu", "gelu")
TABLED = ("tanh", "gelu")
"""Activations that hardware reads from a table. The others are comparisons."""

Floats = NDArray[np.float64]


def activate(x: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    """Apply one of :data:`ACTIVATIONS`. float32 of any shape → the same."""
    if kind == "hardtanh":
        return np.minimum(np.maximum(x, np.float32(-1)), np.float32(1))  # np.clip takes five times as long for a row
    if kind == "relu":
        return np.maximum(x, np.float32(0))
    return {"tanh": _tanh, "gelu": _gelu}[kind](x.astype(np.float64)).astype(np.float32)


def _tanh(x: Floats) -> Floats:
    """Lambert's continued fraction x / (1 + x² / (3 + x² / (5 + …))). In float32, tanh is ±1 from 10 on."""
    x = x.clip(-10, 10)
    below = np.full_like(x, 61)
    for odd in range(59, 0, -2):
        below = odd + x * x / below
    return x / below


def _gelu(x: Floats) -> Floats:
    """x · Φ(x), with Φ from the Taylor series of erf. Beyond ±5.5 it equals x or 0 to within 1e-7."""
    near = x.clip(-5.5, 5.5)
    power, total = np.ones_like(x), np.ones_like(x)
    for n in range(1, 80):
        power = power * (near * near / (-2 * n))
        total = total + power / (2 * n + 1)
    share = np.where(near == x, 0.5 + near * total / math.sqrt(2 * math.pi), x > 0)
    return x * share
