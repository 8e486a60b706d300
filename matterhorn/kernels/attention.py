"""Attention over sequences of different lengths: Q·Kᵀ, softmax and P·V.

One head of :data:`QUERIES` tokens is computed at a time, so that all data stay in the caches. Silent neurons are
skipped. Each event adds a row of stored bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compile import kernel, part
from .connections import SILENT, copy
from .contexts import contexts_of_spikes, contexts_of_weights, value_offsets
from .lanes import SCAN, SIDE, add_events, lowest_bit, spiking, transpose
from .layout import AttentionLayout
from .softmax import NO_KEY, NO_SHORT_KEY, mask_levels, share_levels, weigh
from .ticks import CONTEXTS, SCORES, WEIGHTS, note, now

QUERIES = 32
"""Tokens whose scores, probabilities and contexts are computed before those of the next tokens."""


class AttentionRoom(NamedTuple):
    """Buffers of attention, for one head and :data:`QUERIES` tokens of a sequence.

    A *padded length* is the number of keys, rounded up to a multiple of :data:`.lanes.SCAN`.

    Attributes:
        keys: the head's keys, transposed: flat, one row of padded length for each neuron.
        offsets: what silent queries add to each score: flat, one row of padded length.
        scores: flat, QUERIES rows of padded length. ``keys``, ``offsets`` and ``scores`` are int16 if
            :func:`scores_are_short`, else int32.
        weights: exp of the scores, float32, flat, QUERIES rows of padded length.
        levels, slots: of the probabilities, uint8, flat, QUERIES rows of padded length.
        queries: slots of one token's head, padded with silence, uint8 ``[1, n]``.
        base: what silent probabilities add to each value of the context, int32 ``[size]``.
        order, factors: int32, the events of a row: which neuron or key, and its κ.
        record: levels of all probabilities, uint8, flat: heads · queries · keys of each sequence, end to end. Empty if
            they are not recorded.
        spent: int64, ticks by stage (:mod:`.ticks`), or None.
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
    """Whether int16 holds every score over keys of ``bits`` bits, and every partial sum, whatever the neurons do.

    The bound is the largest possible Σ_d (|κ_d| + |constant_d|) · |K| of a head, plus the largest bias.
    """
    own = layout.queries
    reference, constant = (values.astype(np.int64) for values in (own.reference, own.constant))
    factors = np.maximum(abs(reference), abs(own.unit * own.top - reference)) + abs(constant)
    heads = factors.reshape(layout.heads, -1).sum(1) * (1 << max(bits - 1, 0))
    bias = layout.softmax.bias.astype(np.int64)
    return bool(heads.max() + abs(bias).max(initial=0) <= np.iinfo(np.int16).max)


def attention_room(
    size: int, longest: int, recorded: int, *, short: bool = False, spent: NDArray[np.int64] | None = None
) -> AttentionRoom:
    """Make the buffers of :func:`attend`.

    Args:
        size: neurons of a head.
        longest: tokens of the longest sequence.
        recorded: number of probabilities whose levels are recorded.
        short: whether scores are int16, which requires :func:`scores_are_short`.
        spent: see :class:`AttentionRoom`.
    """
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
def transpose_keys(keys, begin, left, length, constant, transposed, offsets):
    """Transpose a head's keys, and compute what the silent state of the queries adds to each score.

    Args:
        keys: int8 ``[N, width]``. The head's are rows ``begin`` to ``begin + length − 1``, columns from ``left`` on.
        constant: what silence of each query stands for, ``[size]``.
        transposed: flat, set to the keys ``[size, padded length]``, with zeros after the last key.
        offsets: ``[padded length]``, set to Σ_d constant_d · K_d, with :data:`.softmax.NO_KEY` after the last key.
    """
    places, size = offsets.shape[0], constant.shape[0]
    whole = size // SIDE * SIDE
    for j in range(0, places, SIDE):
        for d in range(0, whole, SIDE):
            transpose(keys, begin + j, begin + length - 1, left + d, length - j, transposed, d * places + j, places)
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
def score(queries, first, rows, left, size, code, room, places):
    """Compute the scores of ``rows`` tokens from ``first`` on, for the head of ``size`` neurons from ``left`` on.

    ``places`` is the padded length. Returns the latest slot of a spike.
    """
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
    """Add a head's relative position bias to the scores of ``rows`` tokens.

    Args:
        scores: flat, rows of ``places`` scores.
        bias: int32 ``[2 · longest − 1]``, see :class:`.layout.SoftmaxLayout`.
        positions: int64 ``[N]``, position of each token in its text. They rise within a text.
        begin, length: first key of the text, and its number of keys.
        asking: the token that the first row belongs to.
    """
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
def attend(queries, keys, values, rows, starts, places, own, room, out, skipped):
    """Compute attention over stored keys and values.

    Args:
        queries: slots, uint8 ``[Q, width]``, of the first tokens of each text.
        keys, values: int8 ``[N, width]``.
        rows, starts: int64 ``[sequences + 1]``, where each sequence begins among the queries and among the keys.
        places: int64 ``[N]``, position of each key in its text.
        own: :class:`.layout.AttentionLayout`.
        room: :class:`AttentionRoom`.
        out: int32 ``[Q, width]``, set to the potentials of the context.
        skipped: number of tokens before the first query; other than 0 only for a single text.

    Returns False if a slot is outside the window.
    """
    probabilities, softmax, record = own.probabilities, own.softmax, room.record
    size, place, worst = queries.shape[1] // own.heads, 0, np.uint8(0)
    for s in range(starts.shape[0] - 1):
        begin, length = starts[s], starts[s + 1] - starts[s]
        padded = -(-length // SCAN) * SCAN
        for h in range(own.heads):
            left, began = h * size, now(room.spent)
            constant = own.queries.constant[left : left + size]
            transpose_keys(keys, begin, left, length, constant, room.keys, room.offsets[:padded])
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
                    contexts_of_weights(
                        room, count, padded, values, begin, left, size, probabilities, softmax, out, first
                    )
                    note(room.spent, CONTEXTS, began)
                    continue
                share_levels(room.weights, count, padded, softmax, probabilities.top, room.levels)
                for i in range(count if record.shape[0] > 0 else 0):
                    copy(room.levels[i * padded : i * padded + length], record[place:])
                    place += length
                mask_levels(room.levels, count, padded, length, probabilities, room.slots)
                contexts_of_spikes(room, count, padded, values, begin, left, size, probabilities, out, first)
                note(room.spent, CONTEXTS, began)
    return worst <= own.queries.top
