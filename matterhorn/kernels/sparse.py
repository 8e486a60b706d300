"""Products of real levels with weights, for training. Their work is proportional to the events."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compile import contracted_kernel, kernel
from .lanes import EVENTS_AT_ONCE, LANES, SCAN, add_real_rows, differing, lowest_bit, rows_of

MOST_LISTED = 2**16 - 1
"""Lists of events can name fewer rows, and fewer neurons, than this."""


class EventLists(NamedTuple):
    """For each row, the list of terms to add up: its events, and silence as one more term.

    The same class holds lists by neuron instead of by row. Each list is filled up with empty terms to a multiple of
    :data:`.lanes.EVENTS_AT_ONCE`.

    Attributes:
        order: neuron (or row) of each term, uint16. Silence has the number after the last neuron (or row).
        sizes: factor of each term, float32; 0 for empty ones.
        bounds: int64 ``[n + 1]``. Row i has the terms bounds[i] … bounds[i + 1] − 1.
    """

    order: NDArray[np.uint16]
    sizes: NDArray[np.float32]
    bounds: NDArray[np.int64]

    @classmethod
    def room_for(cls, counts: NDArray[np.int64]) -> EventLists:
        """Make room for lists of ``counts`` events, ``[n]``."""
        bounds = np.zeros(len(counts) + 1, np.int64)
        np.cumsum((counts + EVENTS_AT_ONCE) // EVENTS_AT_ONCE * EVENTS_AT_ONCE, out=bounds[1:])
        return cls(np.zeros(bounds[-1], np.uint16), np.zeros(bounds[-1], np.float32), bounds)


@kernel
def count_events(levels, silent, counts, begin, end):
    """Count the events of rows ``begin … end − 1``, i.e. levels that differ from the silent ones.

    Args:
        levels: float32 ``[n, neurons]``; the number of neurons is a multiple of :data:`.lanes.SCAN`.
        silent: what silence is read as, float32 ``[neurons]``.
        counts: int64 ``[n]``, set for these rows.
    """
    flat, neurons = levels.reshape(-1), levels.shape[1]
    for i in range(begin, end):
        count = 0
        for start in range(0, neurons, SCAN):
            mask = differing(flat, i * neurons + start, silent, start)
            while mask != 0:
                mask &= mask - np.uint64(1)
                count += 1
        counts[i] = count


@kernel
def list_events(levels, silent, lists, begin, end):
    """Fill the lists of rows ``begin … end − 1``, whose events :func:`count_events` has counted.

    An event has the size level − silent; silence has size 1.
    """
    order, sizes, bounds = lists
    flat, neurons = levels.reshape(-1), levels.shape[1]
    for i in range(begin, end):
        event = bounds[i]
        for start in range(0, neurons, SCAN):
            mask = differing(flat, i * neurons + start, silent, start)
            while mask != 0:
                j = start + lowest_bit(mask)
                mask &= mask - np.uint64(1)
                order[event] = j
                sizes[event] = flat[i * neurons + j] - silent[j]
                event += 1
        order[event] = neurons
        sizes[event] = 1


@kernel
def count_by_neuron(lists, counts):
    """Add the number of events of each neuron to ``counts int64 [neurons]``."""
    order, sizes, _ = lists
    for e in range(len(order)):
        if order[e] < len(counts):
            counts[order[e]] += sizes[e] != 0


@kernel
def turn_lists(lists, silent, turned, places):
    """Turn lists by row into lists by neuron, whose events :func:`count_by_neuron` has counted.

    An event keeps its size; silence has the size that it is read as.

    Args:
        lists: by row.
        silent: what silence is read as, float32 ``[neurons]``.
        turned: by neuron, filled.
        places: int64 ``[neurons]``, where each neuron's list begins. Afterward, each points to the end of its events.
    """
    order, sizes, bounds = lists
    for i in range(len(bounds) - 1):
        for e in range(bounds[i], bounds[i + 1]):
            if sizes[e] != 0 and order[e] < len(places):
                place = places[order[e]]
                turned.order[place] = i
                turned.sizes[place] = sizes[e]
                places[order[e]] = place + 1
    for j in range(len(places)):
        turned.order[places[j]] = len(bounds) - 1
        turned.sizes[places[j]] = silent[j]


@contracted_kernel
def add_up(panels, lists, out, begin, end):
    """Add up the terms of rows ``begin … end − 1``: ``out[i, j] = Σ_e sizes[e] · matrix[order[e], j]``.

    Args:
        panels: the matrix, cut into panels of 64 columns, float32 ``[columns / 64, rows, 64]``. Its last row belongs to
            silence.
        out: float32 ``[n, columns]``.
    """
    order, sizes, bounds = lists
    columns, flat, matrices = out.shape[1], out.reshape(-1), panels.reshape(-1)
    for panel in range(panels.shape[0]):
        matrix = rows_of(matrices, panel * panels.shape[1], panels.shape[1], LANES)
        for i in range(begin, end):
            add_real_rows(matrix, order, sizes, bounds[i], bounds[i + 1], flat, i * columns + panel * LANES)
