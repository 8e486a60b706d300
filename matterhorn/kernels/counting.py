"""Count levels and spikes of populations, for the trace."""

from __future__ import annotations

import numpy as np

from .compile import kernel
from .connections import SILENT


@kernel
def count_rows(levels, slots, code, histogram, events):
    """Count the levels and spikes of a population.

    Args:
        levels, slots: uint8 ``[rows, n]``.
        code: :class:`.layout.CodeLayout`.
        histogram: int64 ``[n, T + 1]``, to which the number of times that each neuron had each level is added.
        events: int64 ``[rows]``, set to the number of spikes of each row.

    Returns Σ |κ| over all spikes, in steps of κ.
    """
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
    """Count the levels and spikes of attention probabilities.

    Args:
        levels, slots: uint8, flat: heads · queries · keys of each sequence, end to end.
        code: :class:`.layout.CodeLayout`, the same for all probabilities.
        rows, starts: int64 ``[sequences + 1]``, where each sequence begins among the queries and among the keys.
        histogram: int64 ``[heads, T + 1]``, to which counts are added.
        events: int64 ``[sequences]``, set to the number of spikes of each sequence.

    Returns Σ |κ| over all spikes, in steps of κ.
    """
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
