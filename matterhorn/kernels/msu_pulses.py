"""The pulses that drive the rows of each array for each token, with jitter, and how much of them integrators retain."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compile import contracted_kernel
from .lanes import EVENTS_AT_ONCE, LANES, lowest_bit, nonzero
from .msu_noise import add_noise

SHORT = 0.05
"""If all pulses are shorter than this share of the leak's time constant, a series up to x³ is as exact as float32."""
HALF, SIXTH, TWENTY_FOURTH = np.float32(1 / 2), np.float32(1 / 6), np.float32(1 / 24)


class Pulses(NamedTuple):
    """Pulses by token and array. The pulses of each are filled up with empty ones to a multiple of
    :data:`.lanes.EVENTS_AT_ONCE`.

    Attributes:
        order: row within the array, uint16.
        lengths: signed lengths in steps of κ, float32.
        kept: what is left of the lengths when the pulses end, after leakage, float32.
        bounds: int64 ``[n, arrays + 1]``. Array a of token i has the pulses bounds[i, a] … bounds[i, a + 1] − 1.
    """

    order: NDArray[np.uint16]
    lengths: NDArray[np.float32]
    kept: NDArray[np.float32]
    bounds: NDArray[np.int64]

    @classmethod
    def room_for(cls, kappa: NDArray[np.integer], arrays: int) -> Pulses:
        """Make room for what :func:`list_pulses` makes of ``kappa [n, in]``."""
        places = int(np.count_nonzero(kappa)) + len(kappa) * arrays * (EVENTS_AT_ONCE - 1)
        bounds = np.empty((len(kappa), arrays + 1), np.int64)
        return cls(np.empty(places, np.uint16), np.empty(places, np.float32), np.empty(places, np.float32), bounds)


@contracted_kernel
def list_pulses(kappa, top, rows, spare, jitter, rate, key, pulses):
    """List the pulses of each token and array.

    Args:
        kappa: int8 or int16 ``[n, in]``, contiguous.
        top: upper bound of |κ|.
        rows: word lines of an array.
        spare: number of word lines of the first array that come before those of the first input.
        jitter: standard deviation of a pulse's length, in steps of κ.
        rate: step of κ over leak time constant; 0 for no leak.
        key: uint64, seed of the jitter.
        pulses: :class:`Pulses`, filled.

    Returns the number of places filled.
    """
    order, lengths, kept, bounds = pulses
    event, arrays, columns = 0, bounds.shape[1] - 1, kappa.shape[1]
    flat = kappa.reshape(-1)
    for i in range(kappa.shape[0]):
        for a in range(arrays):
            bounds[i, a] = event
            first, last = max(0, a * rows - spare), min(columns, (a + 1) * rows - spare)
            start, begun = first, event
            while start < last:
                place = i * columns + start
                if start + LANES <= last:
                    mask = nonzero(flat, place)
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
                start += LANES
            while (event - begun) % EVENTS_AT_ONCE != 0:
                order[event], lengths[event] = 0, 0
                event += 1
        bounds[i, arrays] = event
    if jitter > 0:
        disturb(lengths[:event], np.float32(jitter**2), key)
    if rate == 0:
        kept[:event] = lengths[:event]
    elif rate * (top + 8 * jitter) < SHORT:
        leak = np.float32(rate)
        for e in range(event):
            x = leak * abs(lengths[e])
            kept[e] = lengths[e] * (np.float32(1) - x * (HALF - x * (SIXTH - x * TWENTY_FOURTH)))
    else:
        for e in range(event):
            x = rate * abs(np.float64(lengths[e]))
            kept[e] = lengths[e] * (-math.expm1(-x) / x) if x > 0 else lengths[e]
    return event


@contracted_kernel
def disturb(lengths, variance, key):
    """Add jitter to pulses, in place. Empty pulses stay empty, and a pulse that would end before it begins vanishes."""
    noise = np.zeros((len(lengths) // LANES + 1, LANES), np.float32)
    add_noise(noise, np.full(len(noise), variance), np.ones(LANES, np.float32), np.float32(0), key, 0, 1)
    drawn = noise.reshape(-1)
    for e in range(len(lengths)):
        sent = lengths[e]
        moved = sent + drawn[e]
        lengths[e] = moved if moved * sent > 0 else np.float32(0)


@contracted_kernel
def measure(pulses, by_row, merged, power, size):
    """Measure how strongly each token drives each array.

    Args:
        pulses: :class:`Pulses`.
        by_row: what each row contributes to the power of read noise, float32 ``[slices, arrays, rows]``.
        merged: whether the power of all arrays is added up.
        power: float32 ``[slices, arrays, n]``, or ``[slices, 1, n]`` if merged. Σ kept² · by_row is added.
        size: float32 ``[n, arrays]``, set to Σ |kept|.
    """
    order, _, kept, bounds = pulses
    for i in range(size.shape[0]):
        for a in range(size.shape[1]):
            first, last = bounds[i, a], bounds[i, a + 1]
            total = np.float32(0)
            for e in range(first, last):
                total += abs(kept[e])
            size[i, a] = total
            for s in range(by_row.shape[0]):
                total = np.float32(0)
                for e in range(first, last):
                    total += kept[e] * kept[e] * by_row[s, a, order[e]]
                power[s, 0 if merged else a, i] += total
