"""Reads of all arrays of a connection for many tokens: products, rails, noise, offsets, converters, sum."""

from __future__ import annotations

import numpy as np

from .compile import kernel
from .lanes import LANES, add_counts, add_rows, add_sums, to_steps
from .normal import add_noise
from .walk import walk

GROUP = 32
"""Tokens whose sums lie in the first-level cache between one step and the next."""


@kernel
def read_arrays(matrix, events, strengths, rails, noise, offset, converter, merged, digital, key, out):
    """What all arrays answer, summed: ``out[i, j] = shift[j] + scale[j] · Σ arrays``.

    Args:
        matrix: float32 ``[slices, arrays, blocks, rows, 64]``, in weights.
        events: ``order, lengths, kept, bounds`` of :func:`.events.list_events`.
        strengths: of :func:`.events.measure`.
        rails: ``limit`` (potential of the rail, infinite for none), ``rate`` (kernel step over leak time constant) and
            ``strongest`` float32 ``[slices, arrays, blocks]``, the largest weight.
        noise: ``factor`` float32 ``[slices, arrays, 64 · blocks]``, variance of a read of unit power; ``late``,
            float32, the spread by a converter's jitter; whether there is any of either.
        offset: float32 like ``factor``.
        converter: ``step`` (potential of a count; 0 for none), ``half`` of the counts, and what slices count in.
        merged: nothing but the sum lies behind the products: noise and offset ``[1, 1, …]`` come once, at the end.
        digital: ``scale``, ``shift`` float32 ``[64 · blocks]``, and whether whole numbers are asked for.
        key: uint64, of the noise.
        out: int32 ``[n, 64 · blocks]``; if not whole, the bits of float32.
    """
    order, lengths, kept, bounds = events
    power, reach = strengths
    limit, rate, strongest = rails
    factor, late, noisy = noise
    step, half, base = converter
    scale, shift, whole = digital
    slices, arrays, blocks, rows, _ = matrix.shape
    n, flat = out.shape[0], out.reshape(-1)
    sums, sorted_events = np.empty((GROUP, LANES), np.float32), np.empty(rows + 3, np.int64)
    nothing, total = np.zeros(LANES, np.float32), np.empty(n * LANES, np.float32)
    more, one = np.float32(late * late), np.float32(1)
    counts, low, high = np.float32(1 / step if step > 0 else 1), np.float32(-half), np.float32(half - 1)
    for b in range(blocks):
        start, stop = b * LANES, (b + 1) * LANES
        total[:] = 0
        place = one
        for s in range(slices):
            for a in range(arrays):
                own = matrix[s, a, b]
                reachable = np.float32(limit) / max(strongest[s, a, b], np.float32(1e-30))
                own_offset = nothing if merged else offset[s, a, start:stop]
                for group in range(0, n, GROUP):
                    end = min(group + GROUP, n)
                    for i in range(group, end):
                        first, last = bounds[i, a], bounds[i, a + 1]
                        if reach[i, a] > reachable:
                            walk(own, order, lengths, first, last, rate, limit, sorted_events, sums[i - group])
                        else:
                            add_rows(own, order, kept, first, last, sums, (i - group) * LANES)
                    if noisy and not merged:
                        where = ((group * slices + s) * arrays + a) * blocks + b
                        powers, own_factor = power[s, a, group:end], factor[s, a, start:stop]
                        add_noise(sums, powers, own_factor, more, key, where, slices * arrays * blocks)
                    for i in range(group, end):
                        at, to = (i - group) * LANES, i * LANES
                        if step > 0:
                            worth = np.float32(step) * place
                            add_counts(sums, at, own_offset, counts, low, high, worth, total, to)
                        else:
                            add_sums(sums, at, own_offset, place, total, to)
            place *= np.float32(base)
        if merged:
            if noisy:
                add_noise(total.reshape(n, LANES), power[0, 0], factor[0, 0, start:stop], more, key, b, blocks)
            own_offset = offset[0, 0, start:stop]
            for i in range(n):
                add_sums(own_offset, 0, nothing, one, total, i * LANES)
        scale_out(total, b, blocks, scale[start:stop], shift[start:stop], whole, flat)


@kernel
def scale_out(total, b, blocks, scale, shift, whole, flat):
    """Write the potentials ``total`` of one block of 64 neurons, ``shift + scale · total``, into the answers of all."""
    for i in range(len(total) // LANES):
        at = (i * blocks + b) * LANES
        if whole:
            to_steps(total, i * LANES, scale, shift, flat, at)
        else:
            for j in range(LANES):
                flat[at + j] = np.float32(shift[j] + scale[j] * total[i * LANES + j]).view(np.int32)
