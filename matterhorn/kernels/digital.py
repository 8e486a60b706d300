"""Digital steps, fused into one pass each: the bits of the torch definitions in :mod:`matterhorn.nn.digital`.

Sums are of integers, so their order is free; floating-point operations are single IEEE ones, in the definition's order.
"""

from __future__ import annotations

import math

import numpy as np

from .compile import kernel
from .connection import SILENT
from .lanes import LANES, reached

FRACTION = np.float32(4096)
LIMIT = np.float32(127)


@kernel
def quantise(x, pitch, zero, top, levels):
    """clamp(round(x / p) + z). ``x float32 [rows, n]``, ``pitch float32 [n]`` → ``levels uint8 [rows, n]``.

    Returns False where x is no number.
    """
    real, low, high = True, np.float32(0), np.float32(top)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            value = x[i, j]
            real &= value == value
            level = np.rint(value / pitch[j]) + zero
            level = low if level < low else level
            level = high if level > high else level
            levels[i, j] = np.uint8(np.int32(level))
    return real


@kernel
def reach(potentials, left, thresholds, levels):
    """How many thresholds each potential reaches, for the columns from ``left`` on.

    ``potentials int32 [rows, all]``, ``thresholds int16 or int32 [T, n]`` → ``levels uint8 [rows, n]``, all contiguous.
    """
    rows, columns = levels.shape
    own, flat, stride = potentials.reshape(-1), levels.reshape(-1), potentials.shape[1]
    whole = columns - columns % LANES
    for i in range(rows):
        for j in range(0, whole, LANES):
            reached(own[i * stride + left + j :], thresholds, j, flat, i * columns + j)
        for j in range(whole, columns):
            level = 0
            for t in range(thresholds.shape[0]):
                level += potentials[i, left + j] >= thresholds[t, j]
            levels[i, j] = level


@kernel
def encode(levels, silent, dead_zone, top, slots):
    """Slots of levels: T − q, or SILENT within the dead zone. ``uint8 [rows, n]``, ``silent int16 [n]``."""
    low = (silent - np.int16(dead_zone)).astype(np.uint8)
    width, high = np.uint8(2 * dead_zone), np.uint8(top)
    for i in range(levels.shape[0]):
        for j in range(levels.shape[1]):
            above = np.uint8(levels[i, j] - low[j])
            slots[i, j] = SILENT if above <= width else np.uint8(high - levels[i, j])


@kernel
def code(x, pitch, zero, silent, dead_zone, top, levels, slots):
    """Real values → levels and slots, :func:`quantise` and :func:`encode` in one call."""
    real = quantise(x, pitch, zero, top, levels)
    encode(levels, silent, dead_zone, top, slots)
    return real


@kernel
def fire(potentials, left, thresholds, silent, dead_zone, top, levels, slots):
    """Potentials → levels and slots, :func:`reach` and :func:`encode` in one call."""
    reach(potentials, left, thresholds, levels)
    encode(levels, silent, dead_zone, top, slots)


@kernel
def head(x, weights, scale, bias, out):
    """8-bit weights on fixed-point inputs: (Σ w · x) / 2¹² · scale + bias, the sum in integers.

    ``x float32 [rows, in]``, ``weights int8 [out, in]`` → ``out float32 [rows, out]``. The fixed-point inputs are split
    at their tenth bit, so that both sums stay in int32 up to 2¹⁴ inputs.
    """
    high, low, real = np.empty(x.shape[1], np.int32), np.empty(x.shape[1], np.int32), True
    for i in range(x.shape[0]):
        for k in range(x.shape[1]):
            value = x[i, k]
            real &= value == value
            value = -LIMIT if value < -LIMIT else value
            value = LIMIT if value > LIMIT else value
            integer = np.int32(np.rint(value * FRACTION))
            high[k] = integer >> 10
            low[k] = integer & 1023
        for j in range(weights.shape[0]):
            upper, lower = np.int32(0), np.int32(0)
            for k in range(x.shape[1]):
                weight = np.int32(weights[j, k])
                upper += weight * high[k]
                lower += weight * low[k]
            total = np.int64(upper) * 1024 + np.int64(lower)
            out[i, j] = np.float32(np.float64(total) / 4096.0) * scale[j] + bias[j]
    return real


@kernel
def power_of_two(x):
    """The power of two next to x > 0: above √2·2ⁿ the larger one (see ``nn.digital``)."""
    mantissa, exponent = math.frexp(x)
    return math.ldexp(1.0, exponent - 1 if mantissa < math.sqrt(0.5) else exponent)


@kernel
def norm_row(values, integers, weight, bias, eps, shift, out):
    """LayerNorm of one row from exact integer moments. float32 ``[n] → [n]``; False where a value is no number."""
    real, total, squares, count = True, np.int64(0), np.int64(0), values.shape[0]
    for j in range(count):
        value = values[j]
        real &= value == value
        value = -LIMIT if value < -LIMIT else value
        value = LIMIT if value > LIMIT else value
        integers[j] = np.int32(np.rint(value * FRACTION))
    for j in range(count):
        integer = np.int64(integers[j])
        total += integer
        squares += integer * integer
    mean = np.float64(total) / count
    variance = np.float64(squares) / count - mean * mean
    inverse = 1.0 / math.sqrt(variance + eps * 16777216.0)
    if shift:
        inverse = power_of_two(inverse)
    for j in range(count):
        out[j] = np.float32((np.float64(integers[j]) - mean) * inverse) * weight[j] + bias[j]
    return real


@kernel
def settle(potentials, scale, shift_by, residual, weight, bias, eps, shift, out):
    """Read-out, residual and LayerNorm: norm(a · scale + shift_by + residual).

    ``potentials int32 [rows, n]``, ``residual``, ``out float32 [rows, n]``. Returns False where a value is no number.
    """
    columns, real = residual.shape[1], True
    values, integers = np.empty(columns, np.float32), np.empty(columns, np.int32)
    for i in range(residual.shape[0]):
        for j in range(columns):
            values[j] = (np.float32(potentials[i, j]) * scale[j] + shift_by[j]) + residual[i, j]
        real &= norm_row(values, integers, weight, bias, eps, shift, out[i])
    return real


@kernel
def embed(tables, scales, tokens, places, types, weight, bias, eps, out):
    """Embeddings and their norm.

    ``tables``: word, position, segment, int8 ``[rows, n]``, ``scales`` float32 ``[rows]`` of each; numbers int64
    ``[N]`` → ``out float32 [N, n]``. Returns False where a value is no number.
    """
    word, position, segment = tables
    word_scale, position_scale, segment_scale = scales
    columns, real = out.shape[1], True
    values, integers = np.empty(columns, np.float32), np.empty(columns, np.int32)
    for i in range(out.shape[0]):
        t, p, s = tokens[i], places[i], types[i]
        for j in range(columns):
            values[j] = (
                np.float32(word[t, j]) * word_scale[t] + np.float32(position[p, j]) * position_scale[p]
            ) + np.float32(segment[s, j]) * segment_scale[s]
        real &= norm_row(values, integers, weight, bias, eps, False, out[i])
    return real
