"""Attention of ragged sequences: Q·Kᵀ, softmax, P·V for one row of one head at a time, nothing leaves the caches.

Silent neurons are passed over; each event adds a row of stored bytes.
"""

from __future__ import annotations

import numpy as np

from .compile import kernel
from .connections import SILENT
from .lanes import SCAN, lowest_bit, spiking

NO_KEY = np.int32(-(2**29))
"""Score of a place that pads a row of scores: its weight is the table's last entry, 0."""


@kernel
def probability_levels(scores, softmax, top, weights, levels):
    """Levels of one row of attention probabilities: table softmax, division, quantizer.

    ``scores int32 [n]`` (padded with :data:`NO_KEY`), scratch ``weights float32 [n]`` → ``levels uint8 [n]``.
    """
    table, scale = softmax.table, softmax.scale
    count, last = scores.shape[0], np.int32(table.shape[0] - 1)
    highest = NO_KEY
    for j in range(count):
        highest = max(highest, scores[j])
    sums = np.int64(0)
    for j in range(count):
        weights[j] = table[min(np.int32(highest - scores[j]), last)]
    for j in range(count):
        sums += np.int64(weights[j])
    total = np.float32(max(sums, np.int64(1)))
    if softmax.by_shifts:
        power = np.float32(1)
        while power < total:
            power *= np.float32(2)
        total = power
    high = np.float32(top)
    for j in range(count):
        level = np.rint((weights[j] / total) / scale)
        level = high if level > high else level
        levels[j] = np.uint8(np.int32(level))


@kernel
def probability_slots(row, length, code, slots):
    """Slots of one row of levels (see ``digital.encode``): ``uint8 [length]`` → ``uint8``, the rest is left."""
    low = np.uint8(code.silent[0] - code.dead_zone)
    width, high = np.uint8(2 * code.dead_zone), np.uint8(code.top)
    for j in range(length):
        above = np.uint8(row[j] - low)
        slots[j] = SILENT if above <= width else np.uint8(high - row[j])


@kernel
def key_offsets(keys, begin, left, constant, offsets, length):
    """What the silent state of the queries adds to each score: Σ_d constant_d · K. → ``int32 [length]``."""
    size = constant.shape[0]
    for j in range(length):
        total = np.int32(0)
        for d in range(size):
            total += np.int32(constant[d]) * np.int32(keys[begin + j, left + d])
        offsets[j] = total


@kernel
def value_offsets(values, begin, left, length, constant, offsets):
    """What the silent state of the probabilities adds to each context value. → ``int32 [size]``."""
    offsets[:] = 0
    if constant != 0:
        for j in range(length):
            for d in range(offsets.shape[0]):
                offsets[d] += constant * np.int32(values[begin + j, left + d])


@kernel
def add_bias(scores, bias, places, begin, length, asking):
    """Add a head's relative position bias to one row of scores; ``bias int32 [2 · longest − 1]``."""
    here = bias.shape[0] // 2 - places[asking]
    for j in range(length):
        scores[j] += bias[here + places[begin + j]]


@kernel
def attend(queries, keys, values, rows, starts, places, heads, query_code, probability_code, softmax, levels, out):
    """Attention over stored keys and values.

    Args:
        queries: slots uint8 ``[Q, width]``. keys, values: int8 ``[N, width]``.
        rows, starts: int64 ``[sequences + 1]``, where each sequence begins among queries and among keys.
        places: int64 ``[N]``, position of each key in its text; queries are those of a text's first tokens.
        query_code, probability_code: :class:`.layout.CodeLayout`. softmax: :class:`.layout.SoftmaxLayout`.
        levels: uint8, of the probabilities, heads · queries · keys of each sequence end to end.
        out: int32 ``[Q, width]``, potentials of the context.

    Returns False where a slot is outside the window.
    """
    unit, top, constant = query_code.unit, query_code.top, query_code.constant
    silent_term, probability_reference = probability_code.constant[0], np.int32(probability_code.reference[0])
    size, place, worst = queries.shape[1] // heads, 0, np.uint8(0)
    context, base = np.empty(size, np.int32), np.empty(size, np.int32)
    for s in range(starts.shape[0] - 1):
        begin, length = starts[s], starts[s + 1] - starts[s]
        room = -(-length // 16) * 16
        transposed, offsets = np.zeros((size, room), np.int32), np.full(room, NO_KEY, np.int32)
        scores, weights, row = np.empty(room, np.int32), np.empty(room, np.float32), np.empty(room, np.uint8)
        slots = np.full(-(-length // SCAN) * SCAN, SILENT, np.uint8)
        for h in range(heads):
            left = h * size
            for j in range(length):
                for d in range(size):
                    transposed[d, j] = keys[begin + j, left + d]
            key_offsets(keys, begin, left, constant[left : left + size], offsets, length)
            value_offsets(values, begin, left, length, silent_term, base)
            for i in range(rows[s], rows[s + 1]):
                scores[:] = offsets
                for d in range(size):
                    slot = queries[i, left + d]
                    if slot != SILENT:
                        worst = max(worst, slot)
                        factor = np.int32(unit * (top - np.int32(slot)) - query_code.reference[left + d])
                        for j in range(room):
                            scores[j] += factor * transposed[d, j]
                if softmax.bias.shape[1] > 0:
                    add_bias(scores, softmax.bias[h], places, begin, length, begin + i - rows[s])
                probability_levels(scores, softmax, probability_code.top, weights, row)
                levels[place : place + length] = row[:length]
                place += length
                probability_slots(row, length, probability_code, slots)
                context[:] = base
                for start in range(0, slots.shape[0], SCAN):
                    mask = spiking(slots, start)
                    while mask != 0:
                        j = start + lowest_bit(mask)
                        mask &= mask - np.uint64(1)
                        factor = np.int32(probability_code.unit * np.int32(row[j]) - probability_reference)
                        for d in range(size):
                            context[d] += factor * np.int32(values[begin + j, left + d])
                for d in range(size):
                    out[i, left + d] = context[d]
    return worst <= top
