"""Reads of all arrays of a connection for many tokens: products, rails, noise, offsets, converters, sum."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compile import contracted_kernel
from .lanes import EVENTS_AT_ONCE, LANES, add_rows
from .msu_noise import add_noise

READS = 32
"""Tokens whose sums lie in the first-level cache between one step and the next."""

SLIGHT = 0.05
"""Up to this share of charge that leaks over a whole ramp, one step of Newton's, with its factor as a series, finds the
place on the ramp to 1e-6 of its half; and a comparator's jitter may leak with the charge."""
LATE = np.uint64(0xD1B54A32D192ED03)
"""Tells jitter of converters from the noise of reads in the key."""

ONE, HALF, FLAT = np.float32(1), np.float32(0.5), np.float32(1e-6)
LOG2_E, LEAST = np.float32(1.4426950408889634), np.float32(-126)
E1, E2, E3 = np.float32(0.6931471805599453), np.float32(0.2402265069591007), np.float32(0.0555041086648216)
E4, E5, E6 = np.float32(0.0096181291076285), np.float32(0.0013333558146428), np.float32(0.0001540353039338)
EXCESS, EXPONENT = np.int32(127), np.int32(23)
"""2^x for |x| ≤ ½ as a series, and the exponent of a float32."""
SIXTH, TWENTY_FOURTH = np.float32(1 / 6), np.float32(1 / 24)


class Arrays(NamedTuple):
    """Arrays of a connection, 64 neurons to a block.

    Attributes:
        matrix: float32 ``[slices, arrays, blocks, rows, 64]``, in weights.
        strongest: float32 ``[slices, arrays, blocks]``, the largest |weight|.
        offset: of comparators, as potentials, float32 ``[slices, arrays, 64 · blocks]``.
        by_neuron: float32 like ``offset``: variance of a read of unit power.
        merged: nothing but the sum lies behind the products: offset and by_neuron are ``[1, 1, …]`` and come once.
        noisy: whether reads draw anything. base: what slices count in.
    """

    matrix: NDArray[np.float32]
    strongest: NDArray[np.float32]
    offset: NDArray[np.float32]
    by_neuron: NDArray[np.float32]
    merged: bool
    noisy: bool
    base: float


class Scale(NamedTuple):
    """``shift + factor · potential``, float32 ``[64 · blocks]``; ``whole``: rounded to int32."""

    factor: NDArray[np.float32]
    shift: NDArray[np.float32]
    whole: bool


@contracted_kernel
def read_arrays(arrays, pulses, power, size, read, scale, key, out):
    """What all arrays answer, summed: ``out[i, j] = shift[j] + factor[j] · Σ arrays``.

    Args:
        arrays, pulses, scale: :class:`Arrays`, :class:`.msu_pulses.Pulses`, :class:`Scale`.
        read: the circuit in steps of κ and potentials, as ``matterhorn.msu.circuit.Conditions`` describes it.
        power, size: of :func:`.msu_pulses.measure`. key: uint64, of the noise.
        out: int32 ``[n, 64 · blocks]``; if not whole, the bits of float32.
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
    """Potentials of 64 neurons of one array for the tokens ``begin … end − 1``; walked where a rail may be met."""
    for i in range(begin, end):
        first, last = pulses.bounds[i, array], pulses.bounds[i, array + 1]
        if size[i, array] > reachable:
            own = sums[i - begin]
            walk(matrix, pulses.order, pulses.lengths, first, last, read.leak_rate, read.rail, sorted_events, own)
        else:
            add_rows(matrix, pulses.order, pulses.kept, first, last, sums, (i - begin) * LANES)


@contracted_kernel
def add_counts(sums, offset, read, place, total):
    """Add what the converter counts of ``sums + offset``, in potentials, times the place value. ``total [n, 64]``."""
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
    """As :func:`add_counts` where charge leaks slightly while the ramp falls, and the offset does not.

    The ramp meets count y where v·exp((y − half)·droop) + o + ½ = y.
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
    """As :func:`add_drooping_counts` for any leak, and what lies ``beside`` the charge ``[n, 64]``.

    Newton's steps from that end of the ramp from which they all lead one way: the curve is convex where v > 0, concave
    elsewhere.
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
    """Add ``sums + offset``, times the place value. ``total [n, 64]``."""
    for i in range(total.shape[0]):
        for j in range(LANES):
            total[i, j] += place * (sums[i, j] + offset[j])


@contracted_kernel
def write(total, factor, shift, whole, out):
    """Write potentials ``total [n, 64]``, scaled."""
    for i in range(total.shape[0]):
        if whole:
            for j in range(LANES):
                out[i, j] = np.int32(np.rint(shift[j] + factor[j] * total[i, j]))
        else:
            for j in range(LANES):
                out[i, j] = np.float32(shift[j] + factor[j] * total[i, j]).view(np.int32)


@contracted_kernel
def walk(matrix, order, lengths, first, last, rate, limit, sorted_events, out):
    """Potentials that stop at ± ``limit`` and stay there until charge of the other sign comes.

    Pulses end together, so they begin in the order of their lengths, and between two beginnings the currents are
    constant: a potential moves one way, and clipping at the end of each such stretch is exact.

    Args:
        matrix: float32 ``[rows, 64]``, in weights. order, lengths: see :class:`.msu_pulses.Pulses`.
        rate: kernel step over leak time constant. limit: potential at the rail. sorted_events: int64, room to sort.
        out: float32 ``[64]``.
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
