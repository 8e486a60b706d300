"""Softmax of rows of scores: weights by table, their sums, and the levels of the probabilities.

Rows are flat, one after another, and padded to the same number of places.
"""

from __future__ import annotations

import numpy as np

from .compile import kernel
from .connections import SILENT

NO_KEY, NO_SHORT_KEY = np.int32(-(2**31)), np.int16(-(2**15))
"""Score of the places after the last key, as int32 and int16. It is below that of any key, and so never the highest.

Scores of 6-bit queries and keys stay within ± 1.1e9 for heads of up to 2¹⁶ neurons; for int16 see
:func:`.attention.scores_are_short`.
"""


@kernel
def weigh(scores, rows, places, length, table, weights):
    """Look up exp(score − highest score of the row) in a table: integer scores → float32 weights.

    There are ``rows`` rows of ``places`` scores each, of which the first ``length`` are keys. Later weights are 0.
    """
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
    """Return what a row of weights is divided by: their sum, or the smallest power of two that is not below it."""
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
def share_levels(weights, rows, places, softmax, top, levels):
    """Divide the weights of each row by their sum, and quantize them: float32 → levels of the probabilities, uint8."""
    high, scale = np.float32(top), softmax.scale
    for i in range(rows):
        own, out = weights[i * places : (i + 1) * places], levels[i * places : (i + 1) * places]
        total = divisor(own, softmax.by_shifts)
        for j in range(places):
            level = np.rint((own[j] / total) / scale)
            level = high if level > high else level
            out[j] = np.uint8(np.int32(level))


@kernel
def mask_levels(levels, rows, places, length, code, slots):
    """Turn levels into slots, as :func:`.digital.encode` does: uint8 → uint8. Places after ``length`` are silent."""
    low, width, high = code.low[0], np.uint8(2 * code.dead_zone), np.uint8(code.top)
    for j in range(rows * places):
        above = np.uint8(levels[j] - low)
        slots[j] = SILENT if above <= width else np.uint8(high - levels[j])
    for i in range(rows):
        slots[i * places + length : (i + 1) * places] = SILENT
