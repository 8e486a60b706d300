"""Count what populations do, for the trace."""

from __future__ import annotations

import numpy as np

from .compile import kernel
from .connections import SILENT


@kernel
def count_rows(levels, slots, code, histogram, events):
    """Counts of ``levels``, ``slots uint8 [rows, n]``: adds to ``histogram int64 [n, T + 1]``, writes spikes of each
    row ``events int64 [rows]``; returns Σ|κ| in steps of κ."""
    total = np.int64(0)
    for i in range(slots.shape[0]):
        own = np.int64(0)
        for j in range(slots.shape[1]):
            histogram[j, levels[i, j]] += 1
            if slots[i, j] != SILENT:
                own += 1
                total += abs(code.unit * (code.top - np.int64(slots[i, j])) - np.int64(code.reference[j]))
        events[i] = own
    return total


@kernel
def count_squares(levels, slots, code, rows, starts, histogram, events):
    """The same of attention probabilities, flat: heads · queries · keys of each sequence end to end. ``rows``,
    ``starts``: int64 ``[sequences + 1]``, where it begins among queries and keys; ``histogram [heads, T + 1]``,
    ``events [sequences]``."""
    total, place = np.int64(0), 0
    for s in range(starts.shape[0] - 1):
        size, own = (rows[s + 1] - rows[s]) * (starts[s + 1] - starts[s]), np.int64(0)
        for h in range(histogram.shape[0]):
            for _ in range(size):
                histogram[h, levels[place]] += 1
                if slots[place] != SILENT:
                    own += 1
                    total += abs(code.unit * (code.top - np.int64(slots[place])) - np.int64(code.reference[0]))
                place += 1
        events[s] = own
    return total
