"""Integrators that meet a rail on the way: the way from pulse to pulse."""

from __future__ import annotations

import math

import numpy as np

from .compile import contracted_kernel
from .lanes import LANES


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
