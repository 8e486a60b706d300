"""Digital steps, each fused into one pass.

They are bit-identical to the torch definitions in :mod:`matterhorn.nn.digital`. Sums are over integers, so their order
does not matter. Floating-point operations are single IEEE operations in the order of the definition.

Several kernels return whether all values that they met were numbers. If not, their output means nothing.
"""

from __future__ import annotations

import math

import numpy as np

from ..coding import fixed
from .compile import kernel
from .connections import SILENT

FRACTION, LIMIT = np.float32(fixed.FRACTION), np.float32(fixed.LIMIT)


@kernel
def quantize(x, pitch, zero, top, levels):
    """Quantize real values: clamp(round(x / pitch) + zero).

    ``x float32 [rows, n]``, ``pitch float32 [n]``, ``zero int16 [n]`` → ``levels uint8 [rows, n]``. Returns False if
    there is a NaN in x.
    """
    real, low, high = True, np.float32(0), np.float32(top)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            value = x[i, j]
            real &= value == value
            level = np.rint(value / pitch[j]) + np.float32(zero[j])
            level = low if level < low else level
            level = high if level > high else level
            levels[i, j] = np.uint8(np.int32(level))
    return real


@kernel
def reach(potentials, left, limits, levels):
    """Compute the level that each potential reaches.

    Columns ``left`` to ``left + n − 1`` of ``potentials int32 [rows, all]`` → ``levels uint8 [rows, n]``; ``limits`` is
    :class:`.layout.Limits`. All arrays are contiguous.
    """
    rows, columns = levels.shape
    table, lines, top = limits.table, limits.lines, np.float32(limits.table.shape[0])
    for i in range(rows):
        own, out = potentials[i, left : left + columns], levels[i]
        if lines.shape[1] > 0:
            slope, shift = lines[0], lines[1]
            for j in range(columns):
                level = np.floor(np.float32(own[j]) * slope[j] + shift[j])
                level = np.float32(0) if level < np.float32(0) else level
                level = top if level > top else level
                out[j] = np.uint8(np.int32(level))
        else:
            out[:] = 0
            for t in range(table.shape[0]):
                limit = table[t]
                for j in range(columns):
                    out[j] += np.uint8(own[j] >= limit[j])


@kernel
def encode(levels, code, slots):
    """Turn levels into slots: T − q, or SILENT within the dead zone. ``uint8 [rows, n] → uint8 [rows, n]``.

    A level lies within the dead zone if it is at most 2k above ``code.low``, modulo 256.
    """
    low, width, high = code.low, np.uint8(2 * code.dead_zone), np.uint8(code.top)
    for i in range(levels.shape[0]):
        for j in range(levels.shape[1]):
            above = np.uint8(levels[i, j] - low[j])
            slots[i, j] = SILENT if above <= width else np.uint8(high - levels[i, j])


@kernel
def code_values(x, pitch, code, levels, slots):
    """Turn real values into levels and slots: :func:`quantize`, then :func:`encode`."""
    real = quantize(x, pitch, code.zero, code.top, levels)
    encode(levels, code, slots)
    return real


@kernel
def fire(potentials, left, limits, code, levels, slots):
    """Turn potentials into levels and slots: :func:`reach`, then :func:`encode`."""
    reach(potentials, left, limits, levels)
    encode(levels, code, slots)


@kernel
def store(potentials, left, limits, bits, operand):
    """Turn potentials into stored keys or values: ±1 for one bit, else the level minus 2^(bits − 1).

    Columns ``left`` to ``left + n − 1`` of ``potentials int32 [rows, all]`` → ``operand int8 [rows, n]``, contiguous;
    ``limits`` has 2^bits − 1 thresholds for each neuron.
    """
    reach(potentials, left, limits, operand.view(np.uint8))
    middle = np.int8(1 << (bits - 1))
    for i in range(operand.shape[0]):
        for j in range(operand.shape[1]):
            operand[i, j] = 2 * operand[i, j] - 1 if bits == 1 else operand[i, j] - middle


@kernel
def head(x, weights, scale, bias, parts, out):
    """Apply a linear map with 8-bit weights to fixed-point inputs: (Σ w · x) / 2¹² · scale + bias, summed in integers.

    ``x float32 [rows, in]``, ``weights int8 [out, in]`` → ``out float32 [rows, out]``. The fixed-point inputs are split
    at their tenth bit into ``parts int32 [2, in]`` (a buffer), so that the sums of both parts stay in int32 up to 2¹⁴
    inputs. Returns False if there is a NaN in x.
    """
    high, low, real = parts[0], parts[1], True
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
    """Return the power of two nearest to x > 0 by ratio: from √2 · 2ⁿ on, 2ⁿ⁺¹."""
    mantissa, exponent = math.frexp(x)
    return math.ldexp(1.0, exponent - 1 if mantissa < math.sqrt(0.5) else exponent)


@kernel
def norm_row(values, integers, weight, bias, eps, shift):
    """Apply LayerNorm to one row, float32 ``[n]``, in place, with exact integer sums of x and x².

    ``integers int32 [n]`` is a buffer. ``shift``: multiply by a power of two instead of the inverse deviation. Returns
    False if there is a NaN among the values.
    """
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
        values[j] = np.float32((np.float64(integers[j]) - mean) * inverse) * weight[j] + bias[j]
    return real


@kernel
def settle(potentials, readout, residual, integers, out):
    """Add potentials a to the residual stream, and normalize: norm(a · scale + bias + residual).

    ``potentials int32 [rows, n or more]``, ``residual float32 [rows, n]`` → ``out float32 [rows, n]``; ``integers int32
    [n]`` is a buffer. Returns False if there is a NaN.
    """
    columns, real = residual.shape[1], True
    scale, bias = readout.scale, readout.bias
    for i in range(residual.shape[0]):
        values = out[i]
        for j in range(columns):
            values[j] = (np.float32(potentials[i, j]) * scale[j] + bias[j]) + residual[i, j]
        real &= norm_row(values, integers, readout.weight, readout.shift, readout.eps, readout.by_shifts)
    return real


@kernel
def embed(word, position, segment, tokens, places, types, weight, shift, eps, integers, out):
    """Add up the word, position and segment embeddings of each token, and normalize them.

    Args:
        word, position, segment: :class:`.layout.Table`.
        tokens, places, types: row of each table for each token, int64 ``[N]``.
        weight, shift, eps: weight and bias of the norm, float32 ``[n]``, and its epsilon.
        integers: int32 ``[n]``, a buffer.
        out: float32 ``[N, n]``.

    Returns False if there is a NaN.
    """
    columns, real = out.shape[1], True
    for i in range(out.shape[0]):
        t, p, s, values = tokens[i], places[i], types[i], out[i]
        for j in range(columns):
            values[j] = (
                np.float32(word.rows[t, j]) * word.scale[t] + np.float32(position.rows[p, j]) * position.scale[p]
            ) + np.float32(segment.rows[s, j]) * segment.scale[s]
        real &= norm_row(values, integers, weight, shift, eps, False)
    return real
