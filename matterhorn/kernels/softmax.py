"""Softmax of rows of scores: weights from a table, their sums, and the levels of the probabilities."""

from __future__ import annotations

import numpy as np

from .compile import kernel
from .connections import SILENT

NO_KEY, NO_SHORT_KEY = np.int32(-(2**29)), np.int16(-(2**15))
"""Score of a place that pads a row of scores, int32 and int16: lower than any key's, so never the highest."""


@kernel
def weigh(scores, rows, places, length, table, weights):
    """``rows`` rows of scores, integers, ``places`` to a row → e^(score − highest) by table, float32, both flat; 0
    beyond ``length``."""
    last = np.int32(table.shape[0] - 1)
    for i in range(rows):
        own, out = scores[i * places : (i + 1) * places], weights[i * places : (i + 1) * places]
        highest = own[0]
        for j in range(places):
            highest = max(highest, own[j])
        for j in range(length):
            out[j] = table[min(np.int32(highest - own[j]), last)]
        for j in range(length, places):
            out[j] = np.float32(0)


@kernel
def divisor(weights, by_shifts):
    """What a row of weights is divided by: their sum, or the power of two above it."""
    sums = np.int64(0)
    for j in range(weights.shape[0]):
        sums += np.int64(np.int32(weights[j]))
    total = np.float32(max(sums, np.int64(1)))
    if by_shifts:
        power = np.float32(1)
        while power < total:
            power *= np.float32(2)
        total = power
    return total


@kernel
def share(weights, rows, places, softmax, top, levels):
    """The same weights, over their sums and quantized: levels of probabilities, uint8, flat."""
    high, scale = np.float32(top), softmax.scale
    for i in range(rows):
        own, out = weights[i * places : (i + 1) * places], levels[i * places : (i + 1) * places]
        total = divisor(own, softmax.by_shifts)
        for j in range(places):
            level = np.rint((own[j] / total) / scale)
            level = high if level > high else level
            out[j] = np.uint8(np.int32(level))


@kernel
def silence(levels, rows, places, length, code, slots):
    """Slots of rows of levels (see ``digital.encode``), uint8, flat; silent beyond ``length``."""
    low, width, high = code.low[0], np.uint8(2 * code.dead_zone), np.uint8(code.top)
    for j in range(rows * places):
        above = np.uint8(levels[j] - low)
        slots[j] = SILENT if above <= width else np.uint8(high - levels[j])
    for i in range(rows):
        slots[i * places + length : (i + 1) * places] = SILENT
