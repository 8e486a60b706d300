"""Read all arrays of a connection for many tokens: products, rails, noise, offsets, converters, and their sum."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compile import contracted_kernel
from .lanes import EVENTS_AT_ONCE, LANES, add_real_rows
from .msu_noise import add_noise

READS = 32
"""Tokens that are read together. Their sums stay in the first-level cache between one step and the next."""

SLIGHT = 0.05
"""Share of charge that may leak over a whole ramp for leakage to count as slight.

One Newton step, with its factor as a series, then finds the crossing of the ramp to within 1e-6 of half the range. And
the jitter of comparators may be treated as if it leaked like the charge.
"""
LATE = np.uint64(0xD1B54A32D192ED03)
"""Makes the key of the converters' jitter differ from that of read noise."""

ONE, HALF, FLAT = np.float32(1), np.float32(0.5), np.float32(1e-6)
LOG2_E, LEAST = np.float32(1.4426950408889634), np.float32(-126)
E1, E2, E3 = np.float32(0.6931471805599453), np.float32(0.2402265069591007), np.float32(0.0555041086648216)
E4, E5, E6 = np.float32(0.0096181291076285), np.float32(0.0013333558146428), np.float32(0.0001540353039338)
"""Coefficients (ln 2)ⁿ / n! of 2^x as a series, for |x| ≤ ½."""
EXCESS, EXPONENT = np.int32(127), np.int32(23)
"""Bias and position of a float32's exponent."""
SIXTH, TWENTY_FOURTH = np.float32(1 / 6), np.float32(1 / 24)


class Arrays(NamedTuple):
    """The arrays of a connection. Neurons are divided into blocks of 64.

    Attributes:
        matrix: what each array multiplies by, in weights, float32 ``[slices, arrays, blocks, rows, 64]``.
        strongest: largest magnitude in each block, float32 ``[slices, arrays, blocks]``.
        offset: comparator offsets as potentials, float32 ``[slices, arrays, 64 · blocks]``.
        by_neuron: variance of a read of unit power, float32, shaped like ``offset``.
        merged: whether products are only added up, so that the sum needs one offset and one noise term. ``offset`` and
            ``by_neuron`` are then ``[1, 1, 64 · blocks]``.
        noisy: whether reads are random.
        base: place value of a slice relative to the one before.
    """

    matrix: NDArray[np.float32]
    strongest: NDArray[np.float32]
    offset: NDArray[np.float32]
    by_neuron: NDArray[np.float32]
    merged: bool
    noisy: bool
    base: float


class Scale(NamedTuple):
    """Digital scale, shift + factor · potential, float32 ``[64 · blocks]``. ``whole``: results are rounded to int32."""

    factor: NDArray[np.float32]
    shift: NDArray[np.float32]
    whole: bool


@contracted_kernel
def read_arrays(arrays, pulses, power, size, read, scale, key, out):
    """Read all arrays, and add up and scale their results: ``out[i, j] = shift[j] + factor[j] · Σ arrays``.

    Args:
        arrays, pulses, scale: :class:`Arrays`, :class:`.msu_pulses.Pulses`, :class:`Scale`.
        power, size: results of :func:`.msu_pulses.measure`.
        read: the circuit in steps of κ and potentials, ``matterhorn.msu.circuit.Conditions``.
        key: uint64, seed of the noise.
        out: int32 ``[n, 64 · blocks]``. If the scale is not whole, these are the bits of float32.
    """
    matrix, merged, noisy, n = arrays.matrix, arrays.merged, arrays.noisy, out.shape[0]
    slices, count, blocks, rows, _ = matrix.shape
    sums, sorted_events = np.empty((READS, LANES), np.float32), np.empty(rows + EVENTS_AT_ONCE, np.int64)
    nothing, total = np.zeros(LANES, np.float32), np.empty((n, LANES), np.float32)
    beside, still, alike = np.empty_like(sums), np.zeros(READS, np.float32), np.ones(LANES, np.float32)
    more, over = np.float32(read.late * read.late), 2 * read.half * read.count_droop
    for b in range(blocks):
        own = slice(b * LANES, (b + 1) * LANES)
        total[:] = 0
        place = np.float32(1)
        for s in range(slices):
            for a in range(count):
                reachable = np.float32(read.rail) / max(arrays.strongest[s, a, b], np.float32(1e-30))
                offset = nothing if merged else arrays.offset[s, a, own]
                for group in range(0, n, READS):
                    end = min(group + READS, n)
                    add_pulses(matrix[s, a, b], pulses, a, group, end, size, reachable, read, sorted_events, sums)
                    if noisy and not merged:
                        where = ((group * slices + s) * count + a) * blocks + b
                        factor = arrays.by_neuron[s, a, own]
                        within = np.float32(0) if over > SLIGHT else more
                        add_noise(sums, power[s, a, group:end], factor, within, key, where, slices * count * blocks)
                    if over > SLIGHT:
                        beside[:] = offset
                        if more > 0:
                            stride = slices * count * blocks
                            add_noise(beside, still[: end - group], alike, more, key ^ LATE, where, stride)
                        add_leaking_counts(sums, beside, read, place, total[group:end])
                    elif over > 0:
                        add_drooping_counts(sums, offset, read, place, total[group:end])
                    elif read.per_count > 0:
                        add_counts(sums, offset, read, place, total[group:end])
                    else:
                        add_sums(sums, offset, place, total[group:end])
            place *= np.float32(arrays.base)
        if merged:
            if noisy:
                add_noise(total, power[0, 0], arrays.by_neuron[0, 0, own], more, key, b, blocks)
            total += arrays.offset[0, 0, own]
        write(total, scale.factor[own], scale.shift[own], scale.whole, out[:, own])


@contracted_kernel
def add_pulses(matrix, pulses, array, begin, end, size, reachable, read, sorted_events, sums):
    """Compute the potentials of 64 neurons of one array for the tokens ``begin … end − 1``.

    Tokens with Σ |kept| above ``reachable``, which may meet a rail, are followed from pulse to pulse (:func:`walk`).
    """
    for i in range(begin, end):
        first, last = pulses.bounds[i, array], pulses.bounds[i, array + 1]
        if size[i, array] > reachable:
            own = sums[i - begin]
            walk(matrix, pulses.order, pulses.lengths, first, last, read.leak_rate, read.rail, sorted_events, own)
        else:
            add_real_rows(matrix, pulses.order, pulses.kept, first, last, sums, (i - begin) * LANES)


@contracted_kernel
def add_counts(sums, offset, read, place, total):
    """Convert ``sums + offset`` to counts and back to potentials, and add them times ``place`` to ``total [n, 64]``.

    ``place`` is the place value of the slice.
    """
    counts, worth = np.float32(1 / read.per_count), np.float32(read.per_count) * place
    low, high = np.float32(-read.half), np.float32(read.half - 1)
    for i in range(total.shape[0]):
        for j in range(LANES):
            value = np.rint((sums[i, j] + offset[j]) * counts)
            value = low if value < low else value
            value = high if value > high else value
            total[i, j] += worth * value


@contracted_kernel
def add_drooping_counts(sums, offset, read, place, total):
    """Do the same as :func:`add_counts` if charge leaks slightly while the ramp falls (:data:`SLIGHT`).

    The offset does not leak. For charge v and offset o, in counts, the ramp is met at the solution of
    y = v · exp((y − half) · droop) + o + ½.
    """
    counts, worth = np.float32(1 / read.per_count), np.float32(read.per_count) * place
    half, droop = np.float32(read.half), np.float32(read.count_droop)
    low, high = -half, half - ONE
    for i in range(total.shape[0]):
        for j in range(LANES):
            v, o = sums[i, j] * counts, offset[j] * counts + HALF
            y = v + o
            x = (y - half) * droop
            kept = v * (ONE + x * (ONE + x * (HALF + x * (SIXTH + x * TWENTY_FOURTH))))
            slope = droop * kept
            value = np.floor(y + (kept + o - y) * (ONE + slope * (ONE + slope)))
            value = low if value < low else value
            value = high if value > high else value
            total[i, j] += worth * value


@contracted_kernel
def add_leaking_counts(sums, beside, read, place, total):
    """Do the same as :func:`add_drooping_counts` for any leak.

    ``beside [n, 64]`` is offset and jitter, which do not leak.

    Newton's method begins at the end of the ramp from which all its steps go in one direction. The curve is convex if
    v > 0, else concave.
    """
    counts, worth = np.float32(1 / read.per_count), np.float32(read.per_count) * place
    half, droop = np.float32(read.half), np.float32(read.count_droop)
    low, high, rate = -half, half - ONE, droop * LOG2_E
    over = 2 * read.half * read.count_droop
    steps = 3 + int(math.log2(over / SLIGHT))
    left = np.float32(math.exp(-read.count_droop))
    met = np.empty(LANES, np.float32)
    for i in range(total.shape[0]):
        for j in range(LANES):
            met[j] = low if sums[i, j] > 0 else half
        for _ in range(steps):
            for j in range(LANES):
                v, o, y = sums[i, j] * counts, beside[i, j] * counts + HALF, met[j]
                x = max((y - half) * rate, LEAST)
                whole = np.rint(x)
                x -= whole
                power = ONE + x * (E1 + x * (E2 + x * (E3 + x * (E4 + x * (E5 + x * E6)))))
                kept = v * (power * np.int32((np.int32(whole) + EXCESS) << EXPONENT).view(np.float32))
                y += (kept + o - y) / max(ONE - droop * kept, FLAT)
                y = low if y < low else y
                met[j] = half if y > half else y
        for j in range(LANES):
            at_once = sums[i, j] * counts * left + beside[i, j] * counts + HALF >= high
            value = np.floor(met[j])
            value = high if at_once or value > high else value
            total[i, j] += worth * value


@contracted_kernel
def add_sums(sums, offset, place, total):
    """Add ``sums + offset``, times the place value, to ``total [n, 64]``."""
    for i in range(total.shape[0]):
        for j in range(LANES):
            total[i, j] += place * (sums[i, j] + offset[j])


@contracted_kernel
def write(total, factor, shift, whole, out):
    """Scale potentials ``total [n, 64]`` and write them to ``out``, see :func:`read_arrays`."""
    for i in range(total.shape[0]):
        if whole:
            for j in range(LANES):
                out[i, j] = np.int32(np.rint(shift[j] + factor[j] * total[i, j]))
        else:
            for j in range(LANES):
                out[i, j] = np.float32(shift[j] + factor[j] * total[i, j]).view(np.int32)


@contracted_kernel
def walk(matrix, order, lengths, first, last, rate, limit, sorted_events, out):
    """Compute potentials that stop at ± ``limit`` and stay there until charge of the other sign comes.

    All pulses end together, so they begin in the order of their lengths. Between two beginnings, currents are constant
    and a potential moves in one direction, so it is exact to clip it at the end of each such interval.

    Args:
        matrix: in weights, float32 ``[rows, 64]``.
        order, lengths: see :class:`.msu_pulses.Pulses`. Those of this array are ``first … last − 1``.
        rate: step of κ over leak time constant; 0 for no leak.
        limit: potential at the rail.
        sorted_events: int64, a buffer for sorting.
        out: float32 ``[64]``, set to the potentials.
    """
    current = np.zeros(LANES, np.float32)
    out[:] = 0
    for e in range(first, last):
        at = e - first
        while at > 0 and abs(lengths[sorted_events[at - 1]]) < abs(lengths[e]):
            sorted_events[at] = sorted_events[at - 1]
            at -= 1
        sorted_events[at] = e
    rail = np.float32(limit)
    for n in range(last - first):
        event = sorted_events[n]
        length = abs(lengths[event])
        if length == 0:
            return
        shorter = abs(lengths[sorted_events[n + 1]]) if n + 1 < last - first else np.float32(0)
        sign, row = np.float32(math.copysign(1, lengths[event])), matrix[order[event]]
        lasting = np.float64(length - shorter)
        keep = np.float32(math.exp(-rate * lasting))
        bring = np.float32(-math.expm1(-rate * lasting) / rate if rate > 0 else lasting)
        for j in range(LANES):
            current[j] += sign * row[j]
            potential = keep * out[j] + bring * current[j]
            potential = -rail if potential < -rail else potential
            out[j] = rail if potential > rail else potential
