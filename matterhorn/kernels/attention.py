"""Attention of ragged sequences: Q·Kᵀ, softmax, P·V for one row of one head at a time, nothing leaves the caches.

Silent neurons are passed over; each event adds a row of stored bytes (``attend_bytes``, any operand) or of stored bits
(``attend_bits``, ±1 only; faster for long sequences).
"""

from __future__ import annotations

import numpy as np

from .compile import kernel
from .connections import SILENT, add_events, list_row
from .lanes import LANES, SCAN, lowest_bit, spiking

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
def attend_bytes(
    queries, keys, values, rows, starts, places, heads, query_code, probability_code, softmax, levels, out
):
    """Attention over keys and values in bytes.

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


@kernel
def pack_keys(keys, begin, left, length, bits):
    """Keys ±1 → a bit each, ``uint64 [size, words]`` with a column per key."""
    bits[:] = 0
    for j in range(length):
        word, shift = j // LANES, np.uint64(j % LANES)
        for d in range(bits.shape[0]):
            bits[d, word] |= np.uint64(keys[begin + j, left + d] > 0) << shift


@kernel
def pack_values(values, begin, left, length, size, bits):
    """Values ±1 → a bit each, ``uint64 [L, words]`` with a column per element."""
    for j in range(length):
        for word in range(bits.shape[1]):
            first, packed = word * LANES, np.uint64(0)
            for d in range(min(LANES, size - first)):
                packed |= np.uint64(values[begin + j, left + first + d] > 0) << np.uint64(d)
            bits[j, word] = packed


@kernel
def add_row(slots, reference, unit, top, bits, offset, order, kappa, bounds, out):
    """One row of events against ±1 bits: offset + Σ κ · (2 · bit − 1) → ``out``. False: a slot outside the window."""
    events, chunks = list_row(slots, reference, unit, top, order, kappa, bounds, 0, 0)
    if events < 0:
        return False
    total = np.int32(0)
    for e in range(events):
        total += np.int32(kappa[e])
    add_events(bits, order, kappa, bounds, chunks, np.int32(2), offset, np.int32(-total), out)
    return True


@kernel
def attend_bits(queries, keys, values, rows, starts, places, heads, query_code, probability_code, softmax, levels, out):
    """Attention over keys and values packed to a bit each (|κ| at most 127). Arguments as ``attend_bytes``."""
    unit, top, constant = query_code.unit, query_code.top, query_code.constant
    silent_term, own_unit, own_top = probability_code.constant[0], probability_code.unit, probability_code.top
    size, place = queries.shape[1] // heads, 0
    value_words = -(-size // LANES)
    base, context = np.zeros(value_words * LANES, np.int32), np.empty(value_words * LANES, np.int32)
    for s in range(starts.shape[0] - 1):
        begin, length = starts[s], starts[s + 1] - starts[s]
        words, most = -(-length // LANES), max(length, size)
        room = -(-length // 16) * 16
        order, kappa, bounds = np.empty(most, np.int32), np.empty(most, np.int8), np.empty(most + 2, np.int32)
        key_bits, value_bits = np.empty((size, words), np.uint64), np.empty((length, value_words), np.uint64)
        offsets, scores = np.full(words * LANES, NO_KEY, np.int32), np.empty(words * LANES, np.int32)
        weights, row, slots = np.empty(room, np.float32), np.empty(room, np.uint8), np.empty(length, np.uint8)
        references = np.full(length, probability_code.reference[0], np.int16)
        for h in range(heads):
            left = h * size
            pack_keys(keys, begin, left, length, key_bits)
            pack_values(values, begin, left, length, size, value_bits)
            key_offsets(keys, begin, left, constant[left : left + size], offsets, length)
            value_offsets(values, begin, left, length, silent_term, base[:size])
            own_reference = query_code.reference[left : left + size]
            for i in range(rows[s], rows[s + 1]):
                own = queries[i, left : left + size]
                if not add_row(own, own_reference, unit, top, key_bits, offsets, order, kappa, bounds, scores):
                    return False
                if softmax.bias.shape[1] > 0:
                    add_bias(scores, softmax.bias[h], places, begin, length, begin + i - rows[s])
                probability_levels(scores[:room], softmax, own_top, weights, row)
                levels[place : place + length] = row[:length]
                place += length
                probability_slots(row, length, probability_code, slots)
                add_row(slots, references, own_unit, own_top, value_bits, base, order, kappa, bounds, context)
                for d in range(size):
                    out[i, left + d] = context[d]
    return True
