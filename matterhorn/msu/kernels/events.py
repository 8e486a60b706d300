"""What drives the rows: pulses of all tokens listed by array, with jitter, and what integrators keep of them."""

from __future__ import annotations

import math

import numpy as np

from .compile import kernel
from .lanes import LANES, SCAN, STRIDE, bits_set, driven, lowest_bit
from .normal import add_noise

REACH, SHORT = 128, 0.05
"""No kernel is longer. Pulses shorter than this share of the leak's time constant: a series up to x³ is as good as
float32."""
HALF, SIXTH, FOURTH_OF_SIXTH = np.float32(1 / 2), np.float32(1 / 6), np.float32(1 / 24)


@kernel
def list_events(kappa, rows, spare, jitter, rate, key, order, lengths, kept, bounds):
    """Pulses of each token and array; padded with empty ones to whole strides.

    Args:
        kappa: int8 ``[n, in]``, contiguous. rows: word lines of an array, the first ``spare`` of the first one unused.
        jitter: spread of every pulse's length, in kernel steps. rate: kernel step over leak time constant.
        key: uint64, of the jitter.
        order: uint16, row within the array. lengths: float32, signed, in kernel steps. kept: float32, what is left of
            them when they end (:func:`matterhorn.msu.pulses.remembered`). All of them at least :func:`room` long.
        bounds: int64 ``[n, arrays + 1]``: array a of token i has events bounds[i, a] … bounds[i, a + 1] − 1.

    Returns the number of places filled.
    """
    event, arrays, columns = 0, bounds.shape[1] - 1, kappa.shape[1]
    flat = kappa.reshape(-1)
    for i in range(kappa.shape[0]):
        for a in range(arrays):
            bounds[i, a] = event
            first, last = max(0, a * rows - spare), min(columns, (a + 1) * rows - spare)
            start, begun = first, event
            while start < last:
                place = i * columns + start
                if start + SCAN <= last:
                    mask = driven(flat, place)
                else:
                    mask = np.uint64(0)
                    for j in range(last - start):
                        mask |= np.uint64(flat[place + j] != 0) << np.uint64(j)
                while mask != 0:
                    j = lowest_bit(mask)
                    mask &= mask - np.uint64(1)
                    order[event] = start + j + spare - a * rows
                    lengths[event] = flat[place + j]
                    event += 1
                start += SCAN
            while (event - begun) % STRIDE != 0:
                order[event], lengths[event] = 0, 0
                event += 1
        bounds[i, arrays] = event
    if jitter > 0:
        _jitter(lengths[:event], np.float32(jitter**2), key)
    if rate == 0:
        kept[:event] = lengths[:event]
    elif rate * (REACH + 8 * jitter) < SHORT:
        leak = np.float32(rate)
        for e in range(event):
            x = leak * abs(lengths[e])
            kept[e] = lengths[e] * (np.float32(1) - x * (HALF - x * (SIXTH - x * FOURTH_OF_SIXTH)))
    else:
        for e in range(event):
            x = rate * abs(np.float64(lengths[e]))
            kept[e] = lengths[e] * (-math.expm1(-x) / x) if x > 0 else lengths[e]
    return event


@kernel
def _jitter(lengths, variance, key):
    """Pulses that are sent come out longer or shorter."""
    noise = np.zeros((len(lengths) // LANES + 1, LANES), np.float32)
    add_noise(noise, np.full(len(noise), variance), np.ones(LANES, np.float32), np.float32(0), key, 0, 1)
    drawn = noise.reshape(-1)
    for e in range(len(lengths)):
        lengths[e] += drawn[e] * np.float32(lengths[e] != 0)


@kernel
def measure(order, kept, bounds, by_row, merged, power, reach):
    """How strongly every token drives every array.

    Args:
        by_row: float32 ``[slices, arrays, rows]``, what a row adds to the power of read noise.
        merged: whether the power of all arrays is wanted as one.
        power: float32 ``[slices, arrays, n]``, or ``[slices, 1, n]`` for all as one: Σ kept² · by_row.
        reach: float32 ``[n, arrays]``: Σ of their sizes.
    """
    for i in range(reach.shape[0]):
        for a in range(reach.shape[1]):
            first, last = bounds[i, a], bounds[i, a + 1]
            size = np.float32(0)
            for e in range(first, last, STRIDE):
                size += (abs(kept[e]) + abs(kept[e + 1])) + (abs(kept[e + 2]) + abs(kept[e + 3]))
            reach[i, a] = size
            for s in range(by_row.shape[0]):
                own = by_row[s, a]
                one, two = np.float32(0), np.float32(0)
                for e in range(first, last, STRIDE):
                    one += kept[e] * kept[e] * own[order[e]] + kept[e + 1] * kept[e + 1] * own[order[e + 1]]
                    two += kept[e + 2] * kept[e + 2] * own[order[e + 2]] + kept[e + 3] * kept[e + 3] * own[order[e + 3]]
                power[s, 0 if merged else a, i] += one + two


@kernel
def count_events(kappa):
    """How many kernels of ``kappa int8 [n, in]`` are not 0."""
    flat, events = kappa.reshape(-1), 0
    whole = len(flat) - len(flat) % SCAN
    for start in range(0, whole, SCAN):
        events += bits_set(driven(flat, start))
    for j in range(whole, len(flat)):
        events += flat[j] != 0
    return events


def room(events: int, tokens: int, arrays: int) -> int:
    """Places that :func:`list_events` needs for so many."""
    return events + tokens * arrays * (STRIDE - 1)
