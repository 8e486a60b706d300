"""Connections: listing events and adding packed rows of weights for each of them; the plain integer product."""

from __future__ import annotations

import numpy as np

from ..coding import SILENT as SILENT_SLOT
from .compile import kernel
from .lanes import LANES, SCAN, add_one, add_six, add_two, lowest_bit, spiking

SILENT = np.uint8(SILENT_SLOT)
NARROW = 127
"""Largest Σ|κ| of a chunk of events: its sums fit int8."""
CHUNKS = 256
"""Chunks whose sums fit int16 together."""


@kernel
def list_row(slots, reference, unit, top, order, kappa, bounds):
    """List one row's events, cut into chunks.

    ``slots uint8 [n]``, ``reference int16 [n]`` → row numbers ``order int32``, ``kappa int8``, ``bounds int32``: chunk
    c holds events bounds[c] … bounds[c + 1] − 1. Returns the numbers of both; that of events is −1 where a slot is
    outside the window.
    """
    neurons, event, chunk, room = slots.shape[0], 0, 0, NARROW
    bounds[0] = 0
    whole = neurons - neurons % SCAN
    for start in range(0, neurons, SCAN):
        if start < whole:
            mask = spiking(slots, start)
        else:
            mask = np.uint64(0)
            for j in range(start, neurons):
                mask |= np.uint64(slots[j] != SILENT) << np.uint64(j - start)
        while mask != 0:
            j = start + lowest_bit(mask)
            mask &= mask - np.uint64(1)
            slot = np.int64(slots[j])
            if slot > top:
                return np.int64(-1), np.int64(chunk)
            value = unit * (top - slot) - np.int64(reference[j])
            size = abs(value)
            if size > room:
                chunk += 1
                bounds[chunk] = event
                room = NARROW
            room -= size
            order[event] = j
            kappa[event] = value
            event += 1
    if event > 0:
        chunk += 1
        bounds[chunk] = event
    return np.int64(event), np.int64(chunk)


@kernel
def add_events(bits, order, kappa, bounds, chunks, coefficient, base, start, out):
    """out[j] = base[j] + start + coefficient · Σ κ over the events in the first ``chunks`` chunks whose bit j is set.

    ``bits uint64 [in, words]``, ``base``, ``out int32 [64 · words]`` (may be one array).
    """
    words, first = bits.shape[1], 0
    while True:
        stop = min(chunks, first + CHUNKS)
        word = 0
        while word + 6 <= words:
            add_six(bits, word, order, kappa, bounds, first, stop, coefficient, base, start, out)
            word += 6
        while word + 2 <= words:
            add_two(bits, word, order, kappa, bounds, first, stop, coefficient, base, start, out)
            word += 2
        if word < words:
            add_one(bits, word, order, kappa, bounds, first, stop, coefficient, base, start, out)
        if stop == chunks:
            return
        first, base, start = stop, out, np.int32(0)


@kernel
def integrate(slots, code, planes, out):
    """Events through packed weights.

    ``slots uint8 [rows, in]``, ``code`` and ``planes`` as in :mod:`.layout`, |κ| at most :data:`NARROW` → potentials
    ``out int32 [rows, 64 · words]``. Returns False where a slot is outside the window.
    """
    neurons = slots.shape[1]
    order, kappa = np.empty(neurons, np.int32), np.empty(neurons, np.int8)
    bounds = np.empty(neurons + 2, np.int32)
    for i in range(slots.shape[0]):
        events, chunks = list_row(slots[i], code.reference, code.unit, code.top, order, kappa, bounds)
        if events < 0:
            return False
        total = np.int64(0)
        for e in range(events):
            total += np.int64(kappa[e])
        row, start = out[i], np.int32(planes.floor * total)
        add_events(planes.bits[0], order, kappa, bounds, chunks, planes.factors[0], planes.offset, start, row)
        for p in range(1, planes.bits.shape[0]):
            add_events(planes.bits[p], order, kappa, bounds, chunks, planes.factors[p], row, np.int32(0), row)
    return True


@kernel
def product(kappa, rows, offset, out):
    """The closed form: out[i, j] = offset[j] + Σ_k κ[i, k] · w[k, j], in integers.

    ``kappa int16 [n, in]``, ``rows int8 [in, out]``, ``offset int32 [out]`` → ``out int32 [n, out]``.
    """
    for i in range(kappa.shape[0]):
        out[i] = offset
        for k in range(kappa.shape[1]):
            value = np.int32(kappa[i, k])
            if value != 0:
                for j in range(rows.shape[1]):
                    out[i, j] += value * np.int32(rows[k, j])


def words_for(columns: int) -> int:
    """Words that hold a bit for each column."""
    return -(-columns // LANES)
