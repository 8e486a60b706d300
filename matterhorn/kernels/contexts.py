"""Contexts of attention: probabilities times stored values, of the events alone."""

from __future__ import annotations

import numpy as np

from .compile import part
from .lanes import SCAN, add_events, at_least, lowest_bit, spiking
from .softmax import divisor

HALF = np.float32(0.5)
"""A level is reached half a level below it, as levels are rounded."""

NEARLY = np.float32(1 - 2**-18)
"""Factor that makes a computed bound a safe one: it takes off more than float32 rounding can have added."""


@part
def value_offsets(values, begin, left, length, constant, offsets):
    """Compute what the silent state of the probabilities adds to each value of the context: ``offsets int32 [size]``.

    ``constant`` is what silence of a probability stands for. The head's values are rows ``begin`` to ``begin + length −
    1`` of ``values int8 [N, width]``, columns from ``left`` on.
    """
    offsets[:] = 0
    if constant != 0:
        for j in range(length):
            for d in range(offsets.shape[0]):
                offsets[d] += constant * np.int32(values[begin + j, left + d])


@part
def add_values(order, factors, count, values, base, left, out, row):
    """Compute the context of one token and one head.

    ``out[row, left + d] = base[d] + Σ_e factors[e] · values[order[e], left + d]``, over the first ``count`` events.
    ``values int8 [N, width]``, ``out int32 [Q, width]``.
    """
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
def contexts_of_spikes(room, rows, places, values, begin, left, size, code, out, first):
    """Compute the contexts of ``rows`` tokens from the levels and slots of their probabilities in the room.

    They are written to ``out int32 [Q, width]`` from token ``first`` and neuron ``left`` on.
    """
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
def contexts_of_weights(room, rows, places, values, begin, left, size, code, softmax, out, first):
    """Compute the contexts of ``rows`` tokens directly from the weights in the room.

    This gives the same as :func:`.softmax.share_levels`, :func:`.softmax.mask_levels` and :func:`contexts_of_spikes`
    together, but divides only weights that may give a spike. It requires that level 0 is silent, and writes no levels.
    """
    weights, order, factors, base = room.weights, room.order, room.factors, room.base[:size]
    reference = np.int32(code.reference[0])
    scale, high, loudest = softmax.scale, np.float32(code.top), np.float32(code.silent[0] + code.dead_zone)
    for i in range(rows):
        count, total = 0, divisor(weights[i * places : (i + 1) * places], softmax.by_shifts)
        least = (loudest + HALF) * scale * total * NEARLY
        for start in range(i * places, (i + 1) * places, SCAN):
            mask = at_least(weights, start, least)
            while mask != 0:
                j = start + lowest_bit(mask)
                mask &= mask - np.uint64(1)
                level = min(np.rint((weights[j] / total) / scale), high)
                if level > loudest:
                    order[count] = begin + j - i * places
                    factors[count] = code.unit * np.int32(level) - reference
                    count += 1
        add_values(order, factors, count, values, base, left, out, first + i)
