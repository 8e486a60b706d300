"""Reads of all arrays of a connection for many tokens: products, rails, noise, offsets, converters, sum."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compile import contracted_kernel
from .lanes import LANES, add_counts, add_rows, add_sums, to_steps
from .msu_noise import add_noise
from .msu_walk import walk

GROUP = 32
"""Tokens whose sums lie in the first-level cache between one step and the next."""


class Arrays(NamedTuple):
    """Arrays of a connection, 64 neurons to a block.

    Attributes:
        matrix: float32 ``[slices, arrays, blocks, rows, 64]``, in weights.
        strongest: float32 ``[slices, arrays, blocks]``, the largest |weight|.
        offset: of comparators, as potentials, float32 ``[slices, arrays, 64 · blocks]``.
        by_neuron: float32 like ``offset``: variance of a read of unit power.
        merged: nothing but the sum lies behind the products: offset and by_neuron are ``[1, 1, …]`` and come once.
    """

    matrix: NDArray[np.float32]
    strongest: NDArray[np.float32]
    offset: NDArray[np.float32]
    by_neuron: NDArray[np.float32]
    merged: bool


class Readout(NamedTuple):
    """How potentials are read.

    Attributes:
        rail: potential at which integrators stop, infinite for none. rate: step of κ over leak time constant.
        late: spread that the converter's jitter adds. noisy: whether reads draw anything.
        count: potential per count of the converter, 0 for none. half: half of its counts. base: what slices count in.
    """

    rail: float
    rate: float
    late: float
    noisy: bool
    count: float
    half: int
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
        arrays, pulses, read, scale: :class:`Arrays`, :class:`.msu_pulses.Pulses`, :class:`Readout`, :class:`Scale`.
        power, size: of :func:`.msu_pulses.measure`. key: uint64, of the noise.
        out: int32 ``[n, 64 · blocks]``; if not whole, the bits of float32.
    """
    order, lengths, kept, bounds = pulses
    matrix, merged, noisy = arrays.matrix, arrays.merged, read.noisy
    slices, count, blocks, rows, _ = matrix.shape
    n, flat = out.shape[0], out.reshape(-1)
    sums, sorted_events = np.empty((GROUP, LANES), np.float32), np.empty(rows + 3, np.int64)
    nothing, total = np.zeros(LANES, np.float32), np.empty(n * LANES, np.float32)
    more, half = np.float32(read.late * read.late), np.float32(read.half)
    counts = np.float32(1 / read.count if read.count > 0 else 1)
    for b in range(blocks):
        start, stop = b * LANES, (b + 1) * LANES
        total[:] = 0
        place = np.float32(1)
        for s in range(slices):
            for a in range(count):
                own = matrix[s, a, b]
                reachable = np.float32(read.rail) / max(arrays.strongest[s, a, b], np.float32(1e-30))
                offset = nothing if merged else arrays.offset[s, a, start:stop]
                for group in range(0, n, GROUP):
                    end = min(group + GROUP, n)
                    for i in range(group, end):
                        first, last = bounds[i, a], bounds[i, a + 1]
                        if size[i, a] > reachable:
                            walk(own, order, lengths, first, last, read.rate, read.rail, sorted_events, sums[i - group])
                        else:
                            add_rows(own, order, kept, first, last, sums, (i - group) * LANES)
                    if noisy and not merged:
                        where = ((group * slices + s) * count + a) * blocks + b
                        powers, factor = power[s, a, group:end], arrays.by_neuron[s, a, start:stop]
                        add_noise(sums, powers, factor, more, key, where, slices * count * blocks)
                    for i in range(group, end):
                        at, to = (i - group) * LANES, i * LANES
                        if read.count > 0:
                            add_counts(sums, at, offset, counts, half, np.float32(read.count) * place, total, to)
                        else:
                            add_sums(sums, at, offset, place, total, to)
            place *= np.float32(read.base)
        if merged:
            if noisy:
                factor = arrays.by_neuron[0, 0, start:stop]
                add_noise(total.reshape(n, LANES), power[0, 0], factor, more, key, b, blocks)
            offset = arrays.offset[0, 0, start:stop]
            for i in range(n):
                add_sums(offset, 0, nothing, np.float32(1), total, i * LANES)
        write(total, b, blocks, scale.factor[start:stop], scale.shift[start:stop], scale.whole, flat)


@contracted_kernel
def write(total, block, blocks, factor, shift, whole, flat):
    """Write the potentials of one block of 64 neurons, scaled, into the answers of all."""
    for i in range(len(total) // LANES):
        at = (i * blocks + block) * LANES
        if whole:
            to_steps(total, i * LANES, factor, shift, flat, at)
        else:
            for j in range(LANES):
                flat[at + j] = np.float32(shift[j] + factor[j] * total[i * LANES + j]).view(np.int32)
