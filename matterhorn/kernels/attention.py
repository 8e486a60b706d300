"""Attention over sequences of different lengths: Q·Kᵀ, softmax and P·V.

One row of one head is computed at a time, so that all data stay in the caches. Silent neurons are skipped. Each event
adds a row of stored bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compile import kernel, part
from .connections import SILENT, copy
from .lanes import SCAN, SIDE, add_events, lowest_bit, reaching, spiking, turn
from .layout import AttentionLayout
from .softmax import NO_KEY, NO_SHORT_KEY, divisor, share, silence, weigh
from .ticks import CONTEXTS, SCORES, WEIGHTS, note, now

HALF, NEARLY = np.float32(0.5), np.float32(1 - 2**-18)
"""Levels are rounded; and a little less than a bound, whatever rounding did to it."""

QUERIES = 32
"""Tokens whose scores, probabilities and contexts are computed one after another."""


class AttentionRoom(NamedTuple):
    """What attention writes on its way, for one head and :data:`QUERIES` tokens of a sequence.

    Attributes:
        keys: flat, transposed, a row of the padded length for each neuron. offsets: flat, for one row. scores: flat,
            for QUERIES rows of padded length. These three are int16 where :func:`scores_are_short`, else int32.
        weights: float32, levels, slots: uint8, all flat, for QUERIES rows of padded length.
        queries: slots uint8 of one token's head, padded, ``[1, n]``. base: int32, what silent probabilities add.
        order, factors: int32, events of a row: whose they are, and κ without what silence stands for.
        record: uint8, levels of all probabilities, heads · queries · keys of each sequence end to end; empty where
            nobody asks.
        spent: ticks by stage, int64 (see :mod:`.ticks`), or None.
    """

    keys: NDArray[np.integer]
    offsets: NDArray[np.integer]
    scores: NDArray[np.integer]
    weights: NDArray[np.float32]
    levels: NDArray[np.uint8]
    slots: NDArray[np.uint8]
    queries: NDArray[np.uint8]
    base: NDArray[np.int32]
    order: NDArray[np.int32]
    factors: NDArray[np.int32]
    record: NDArray[np.uint8]
    spent: NDArray[np.int64] | None


def scores_are_short(layout: AttentionLayout, bits: int) -> bool:
    """Whether no score over keys of so many bits can leave int16, nor any sum on the way to it, whatever neurons do:
    the largest that a head's Σ_d (|κ_d| + |constant_d|) · |K| can be, and the largest bias."""
    own = layout.queries
    reference, constant = (values.astype(np.int64) for values in (own.reference, own.constant))
    factors = np.maximum(abs(reference), abs(own.unit * own.top - reference)) + abs(constant)
    heads = factors.reshape(layout.heads, -1).sum(1) * (1 << max(bits - 1, 0))
    bias = layout.softmax.bias.astype(np.int64)
    return bool(heads.max() + abs(bias).max(initial=0) <= np.iinfo(np.int16).max)


def attention_room(
    size: int, longest: int, recorded: int, *, short: bool = False, spent: NDArray[np.int64] | None = None
) -> AttentionRoom:
    """Room for heads of so many neurons, sequences of up to so many tokens, and levels to record; ``short``: where
    :func:`scores_are_short`."""
    places, kind = -(-longest // SCAN) * SCAN, np.int16 if short else np.int32
    return AttentionRoom(
        np.empty(size * places, kind),
        np.empty(places, kind),
        np.empty(QUERIES * places, kind),
        np.empty(QUERIES * places, np.float32),
        np.empty(QUERIES * places, np.uint8),
        np.empty(QUERIES * places, np.uint8),
        np.full((1, -(-size // SCAN) * SCAN), SILENT, np.uint8),
        np.empty(size, np.int32),
        np.empty(max(size, places), np.int32),
        np.empty(max(size, places), np.int32),
        np.empty(recorded, np.uint8),
        spent,
    )


@part
def lay_keys(keys, begin, left, length, constant, transposed, offsets):
    """A head's keys, transposed, and what the silent state of the queries adds to each score, Σ_d constant_d · K."""
    places, size = offsets.shape[0], constant.shape[0]
    whole = size // SIDE * SIDE
    for j in range(0, places, SIDE):
        for d in range(0, whole, SIDE):
            turn(keys, begin + j, begin + length - 1, left + d, length - j, transposed, d * places + j, places)
    offsets[:length] = 0
    offsets[length:] = NO_KEY if offsets.itemsize == 4 else NO_SHORT_KEY
    for d in range(size):
        own, still = transposed[d * places : (d + 1) * places], constant[d]
        if d >= whole:
            column = keys[begin : begin + length, left + d]
            for j in range(length):
                own[j] = column[j]
            own[length:] = 0
        if still != 0:
            for j in range(places):
                offsets[j] += still * own[j]


@part
def value_offsets(values, begin, left, length, constant, offsets):
    """What the silent state of the probabilities adds to each context value. → ``int32 [size]``."""
    offsets[:] = 0
    if constant != 0:
        for j in range(length):
            for d in range(offsets.shape[0]):
                offsets[d] += constant * np.int32(values[begin + j, left + d])


@part
def score(queries, first, rows, left, size, code, room, places):
    """Scores of ``rows`` tokens' heads, from token ``first`` and neuron ``left`` on. Returns the latest slot."""
    worst, own, order, factors = np.uint8(0), queries, room.order, room.factors
    for i in range(rows):
        row, column, count = first + i, left, 0
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
                order[count] = d
                factors[count] = code.unit * (code.top - np.int32(slot)) - code.reference[left + d]
                count += 1
        for j in range(0, places, SCAN):
            add_events(room.keys, places, order, factors, count, room.offsets, j, j, room.scores, i * places + j)
    return worst


@part
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


@part
def add_values(order, factors, count, values, base, left, out, row):
    """What silence and ``count`` events add up to, on values from neuron ``left`` on: ``out int32 [Q, width]``, in this
    row and from ``left`` on."""
    width, size = out.shape[1], base.shape[0]
    whole = size // SCAN * SCAN
    for d in range(0, whole, SCAN):
        add_events(values, width, order, factors, count, base, d, left + d, out, row * width + left + d)
    for d in range(whole, size):
        total = base[d]
        for e in range(count):
            total += factors[e] * np.int32(values[order[e], left + d])
        out[row, left + d] = total


@part
def gather(room, rows, places, values, begin, left, size, code, out, first):
    """What probabilities ask of the values, in ``out int32 [Q, width]`` from token ``first`` and neuron ``left`` on."""
    reference, order, factors, base = np.int32(code.reference[0]), room.order, room.factors, room.base[:size]
    for i in range(rows):
        count = 0
        for start in range(i * places, (i + 1) * places, SCAN):
            mask = spiking(room.slots, start)
            while mask != 0:
                j = start + lowest_bit(mask)
                mask &= mask - np.uint64(1)
                order[count] = begin + j - i * places
                factors[count] = code.unit * np.int32(room.levels[j]) - reference
                count += 1
        add_values(order, factors, count, values, base, left, out, first + i)


@part
def pick(room, rows, places, values, begin, left, size, code, softmax, out, first):
    """:func:`share`, :func:`silence` and :func:`gather` at once, where silence begins at level 0 and nobody records
    levels: only weights that may wake a neuron are divided."""
    weights, order, factors, base = room.weights, room.order, room.factors, room.base[:size]
    reference = np.int32(code.reference[0])
    scale, high, loudest = softmax.scale, np.float32(code.top), np.float32(code.silent[0] + code.dead_zone)
    for i in range(rows):
        count, total = 0, divisor(weights[i * places : (i + 1) * places], softmax.by_shifts)
        least = (loudest + HALF) * scale * total * NEARLY
        for start in range(i * places, (i + 1) * places, SCAN):
            mask = reaching(weights, start, least)
            while mask != 0:
                j = start + lowest_bit(mask)
                mask &= mask - np.uint64(1)
                level = min(np.rint((weights[j] / total) / scale), high)
                if level > loudest:
                    order[count] = begin + j - i * places
                    factors[count] = code.unit * np.int32(level) - reference
                    count += 1
        add_values(order, factors, count, values, base, left, out, first + i)


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
            for first in range(rows[s], rows[s + 1], QUERIES):
                count, began = min(QUERIES, rows[s + 1] - first), now(room.spent)
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
