"""Attention of ragged sequences: Q·Kᵀ, softmax, P·V for one row of one head at a time, nothing leaves the caches.

Silent neurons are passed over; each event adds a row of stored bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compile import kernel
from .connections import SILENT, copy
from .lanes import SCAN, lowest_bit, reaching, spiking
from .ticks import CONTEXTS, SCORES, WEIGHTS, note, now

NO_KEY = np.int32(-(2**29))
"""Score of a place that pads a row of scores: its weight is the table's last entry, 0."""


HALF, NEARLY = np.float32(0.5), np.float32(1 - 2**-18)
"""Levels are rounded; and a little less than a bound, whatever rounding did to it."""

ROWS = 32
"""Tokens whose scores, probabilities and contexts are computed one after another."""


class AttentionRoom(NamedTuple):
    """What attention writes on its way, for one head and :data:`ROWS` tokens of a sequence.

    Attributes:
        keys: int32, flat, transposed, a row of the padded length for each neuron. offsets: int32, flat, for one row.
        scores: int32, weights: float32, levels, slots: uint8, all flat, for ROWS rows of padded length.
        queries: slots uint8 of one token's head, padded, ``[1, n]``. base: int32, what silent probabilities add.
        record: uint8, levels of all probabilities, heads · queries · keys of each sequence end to end; empty where
            nobody asks.
        spent: ticks by stage, int64 (see :mod:`.ticks`), or None.
    """

    keys: NDArray[np.int32]
    offsets: NDArray[np.int32]
    scores: NDArray[np.int32]
    weights: NDArray[np.float32]
    levels: NDArray[np.uint8]
    slots: NDArray[np.uint8]
    queries: NDArray[np.uint8]
    base: NDArray[np.int32]
    record: NDArray[np.uint8]
    spent: NDArray[np.int64] | None


def attention_room(size: int, longest: int, recorded: int, spent: NDArray[np.int64] | None = None) -> AttentionRoom:
    """Room for heads of so many neurons, sequences of up to so many tokens, and levels to record."""
    places = -(-longest // SCAN) * SCAN
    return AttentionRoom(
        np.empty(size * places, np.int32),
        np.empty(places, np.int32),
        np.empty(ROWS * places, np.int32),
        np.empty(ROWS * places, np.float32),
        np.empty(ROWS * places, np.uint8),
        np.empty(ROWS * places, np.uint8),
        np.full((1, -(-size // SCAN) * SCAN), SILENT, np.uint8),
        np.empty(size, np.int32),
        np.empty(recorded, np.uint8),
        spent,
    )


@kernel
def weigh(scores, rows, places, length, table, weights):
    """``rows`` rows of scores, int32, ``places`` to a row → e^(score − highest) by table, float32, both flat; 0 beyond
    ``length``."""
    last = np.int32(table.shape[0] - 1)
    for i in range(rows):
        highest, own, out = NO_KEY, scores[i * places : (i + 1) * places], weights[i * places : (i + 1) * places]
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


@kernel
def lay_keys(keys, begin, left, length, constant, transposed, offsets):
    """A head's keys, turned, and what the silent state of the queries adds to each score, Σ_d constant_d · K."""
    places = offsets.shape[0]
    offsets[:length] = 0
    offsets[length:] = NO_KEY
    for d in range(constant.shape[0]):
        own, still = transposed[d * places : (d + 1) * places], np.int32(constant[d])
        column = keys[begin : begin + length, left + d]
        for j in range(length):
            own[j] = column[j]
        own[length:] = 0
        for j in range(length):
            offsets[j] += still * own[j]


@kernel
def value_offsets(values, begin, left, length, constant, offsets):
    """What the silent state of the probabilities adds to each context value. → ``int32 [size]``."""
    offsets[:] = 0
    if constant != 0:
        for j in range(length):
            for d in range(offsets.shape[0]):
                offsets[d] += constant * np.int32(values[begin + j, left + d])


@kernel
def score(queries, first, rows, left, size, code, room, places):
    """Scores of ``rows`` tokens' heads, from token ``first`` and neuron ``left`` on. Returns the latest slot."""
    worst, own, keys, offsets, scores = np.uint8(0), queries, room.keys, room.offsets, room.scores
    reference = code.reference
    for i in range(rows):
        row, column, line = first + i, left, scores[i * places : (i + 1) * places]
        for j in range(places):
            line[j] = offsets[j]
        if size % SCAN != 0:
            copy(queries[first + i, left : left + size], room.queries[0])
            own, row, column = room.queries, 0, 0
        for start in range(0, size, SCAN):
            mask = spiking(own, row * own.shape[1] + column + start)
            while mask != 0:
                d = start + lowest_bit(mask)
                mask &= mask - np.uint64(1)
                slot = own[row, column + d]
                worst = max(worst, slot)
                factor = np.int32(code.unit * (code.top - np.int32(slot)) - reference[left + d])
                key = keys[d * places : (d + 1) * places]
                for j in range(places):
                    line[j] += factor * key[j]
    return worst


@kernel
def add_bias(scores, rows, places, bias, positions, begin, length, asking):
    """Add a head's relative position bias, ``int32 [2 · longest − 1]``, to scores of tokens from ``asking`` on."""
    start = positions[begin]
    unbroken = positions[begin + length - 1] - start == length - 1
    for i in range(rows):
        line, here = scores[i * places : (i + 1) * places], bias.shape[0] // 2 - positions[asking + i]
        if unbroken:
            own = bias[here + start : here + start + length]
            for j in range(length):
                line[j] += own[j]
        else:
            for j in range(length):
                line[j] += bias[here + positions[begin + j]]


@kernel
def gather(room, rows, places, values, begin, left, size, code, out, first):
    """What probabilities ask of the values, in ``out int32 [Q, width]`` from token ``first`` and neuron ``left`` on."""
    levels, slots, base, reference = room.levels, room.slots, room.base, np.int32(code.reference[0])
    for i in range(rows):
        context = out[first + i, left : left + size]
        for d in range(size):
            context[d] = base[d]
        for start in range(i * places, (i + 1) * places, SCAN):
            mask = spiking(slots, start)
            while mask != 0:
                j = start + lowest_bit(mask)
                mask &= mask - np.uint64(1)
                factor = np.int32(code.unit * np.int32(levels[j]) - reference)
                value = values[begin + j - i * places, left : left + size]
                for d in range(size):
                    context[d] += factor * np.int32(value[d])


@kernel
def pick(room, rows, places, values, begin, left, size, code, softmax, out, first):
    """:func:`share`, :func:`silence` and :func:`gather` at once, where silence begins at level 0 and nobody records
    levels: only weights that may wake a neuron are divided."""
    weights, base, reference = room.weights, room.base, np.int32(code.reference[0])
    scale, high, loudest = softmax.scale, np.float32(code.top), np.float32(code.silent[0] + code.dead_zone)
    for i in range(rows):
        context = out[first + i, left : left + size]
        for d in range(size):
            context[d] = base[d]
        total = divisor(weights[i * places : (i + 1) * places], softmax.by_shifts)
        least = (loudest + HALF) * scale * total * NEARLY
        for start in range(i * places, (i + 1) * places, SCAN):
            mask = reaching(weights, start, least)
            while mask != 0:
                j = start + lowest_bit(mask)
                mask &= mask - np.uint64(1)
                level = min(np.rint((weights[j] / total) / scale), high)
                if level > loudest:
                    factor = np.int32(code.unit * np.int32(level) - reference)
                    value = values[begin + j - i * places, left : left + size]
                    for d in range(size):
                        context[d] += factor * np.int32(value[d])


@kernel
def attend(queries, keys, values, rows, starts, places, own, room, out, skipped):
    """Attention over stored keys and values.

    Args:
        queries: slots uint8 ``[Q, width]``. keys, values: int8 ``[N, width]``.
        rows, starts: int64 ``[sequences + 1]``, where each sequence begins among queries and among keys.
        places: int64 ``[N]``, position of each key in its text; queries are those of a text's first tokens.
        skipped: of a single text, so many tokens come before the first query.
        own: :class:`.layout.AttentionLayout`. room: :class:`AttentionRoom`.
        out: int32 ``[Q, width]``, potentials of the context.

    Returns False where a slot is outside the window.
    """
    probabilities, softmax, record = own.probabilities, own.softmax, room.record
    size, place, worst = queries.shape[1] // own.heads, 0, np.uint8(0)
    for s in range(starts.shape[0] - 1):
        begin, length = starts[s], starts[s + 1] - starts[s]
        padded = -(-length // SCAN) * SCAN
        for h in range(own.heads):
            left, began = h * size, now(room.spent)
            lay_keys(
                keys, begin, left, length, own.queries.constant[left : left + size], room.keys, room.offsets[:padded]
            )
            value_offsets(values, begin, left, length, np.int32(probabilities.constant[0]), room.base[:size])
            note(room.spent, SCORES, began)
            for first in range(rows[s], rows[s + 1], ROWS):
                count, began = min(ROWS, rows[s + 1] - first), now(room.spent)
                worst = max(worst, score(queries, first, count, left, size, own.queries, room, padded))
                if softmax.bias.shape[1] > 0:
                    asking = begin + skipped + first - rows[s]
                    add_bias(room.scores, count, padded, softmax.bias[h], places, begin, length, asking)
                began = note(room.spent, SCORES, began)
                weigh(room.scores, count, padded, length, softmax.table, room.weights)
                began = note(room.spent, WEIGHTS, began)
                if record.shape[0] == 0 and probabilities.silent[0] <= probabilities.dead_zone:
                    pick(room, count, padded, values, begin, left, size, probabilities, softmax, out, first)
                    note(room.spent, CONTEXTS, began)
                    continue
                share(room.weights, count, padded, softmax, probabilities.top, room.levels)
                for i in range(count if record.shape[0] > 0 else 0):
                    copy(room.levels[i * padded : i * padded + length], record[place:])
                    place += length
                silence(room.levels, count, padded, length, probabilities, room.slots)
                gather(room, count, padded, values, begin, left, size, probabilities, out, first)
                note(room.spent, CONTEXTS, began)
    return worst <= own.queries.top
