"""Products of real levels with weights, for training, whose work is proportional to the events."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compile import contracted_kernel, kernel
from .lanes import EVENTS_AT_ONCE, LANES, SCAN, add_rows, lowest_bit, rows_of, unlike

MOST_LISTED = 2**16 - 1
"""Rows, and neurons, that lists of events can name."""


class EventLists(NamedTuple):
    """What is to be summed up for each row (or for each neuron): its events, and behind them silence, which counts as
    one more; filled up with empty ones to a multiple of :data:`.lanes.EVENTS_AT_ONCE`.

    Attributes:
        order: their neurons (or rows), uint16; of silence the number behind the last. sizes: float32.
        bounds: int64 ``[n + 1]``: row i has the events bounds[i] … bounds[i + 1] − 1.
    """

    order: NDArray[np.uint16]
    sizes: NDArray[np.float32]
    bounds: NDArray[np.int64]

    @classmethod
    def room_for(cls, counts: NDArray[np.int64]) -> EventLists:
        """Room for rows of so many events, ``[n]``."""
        bounds = np.zeros(len(counts) + 1, np.int64)
        np.cumsum((counts + EVENTS_AT_ONCE) // EVENTS_AT_ONCE * EVENTS_AT_ONCE, out=bounds[1:])
        return cls(np.zeros(bounds[-1], np.uint16), np.zeros(bounds[-1], np.float32), bounds)


@kernel
def count_events(levels, silent, counts, begin, end):
    """How many levels of rows ``begin … end − 1`` differ from those of silence.

    Args:
        levels: float32 ``[n, neurons]``, a multiple of :data:`.lanes.SCAN` of them. silent: float32 ``[neurons]``.
        counts: int64 ``[n]``, is filled.
    """
    flat, neurons = levels.reshape(-1), levels.shape[1]
    for i in range(begin, end):
        count = 0
        for start in range(0, neurons, SCAN):
            mask = unlike(flat, i * neurons + start, silent, start)
            while mask != 0:
                mask &= mask - np.uint64(1)
                count += 1
        counts[i] = count


@kernel
def list_events(levels, silent, lists, begin, end):
    """Fill the lists of rows ``begin … end − 1``, whose events :func:`count_events` counted: of each event its neuron,
    and its level less that of silence; of silence 1."""
    order, sizes, bounds = lists
    flat, neurons = levels.reshape(-1), levels.shape[1]
    for i in range(begin, end):
        event = bounds[i]
        for start in range(0, neurons, SCAN):
            mask = unlike(flat, i * neurons + start, silent, start)
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
    """How many events each neuron sent: adds to int64 ``[neurons]``."""
    order, sizes, _ = lists
    for e in range(len(order)):
        if order[e] < len(counts):
            counts[order[e]] += sizes[e] != 0


@kernel
def turn_lists(lists, silent, turned, places):
    """Fill the lists of neurons whose events :func:`count_by_neuron` counted: of each event its row and its size; of
    silence what it is read as.

    ``places``: int64 ``[neurons]``, where each neuron's begin; they move behind the last.
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
    """``out[i, j] = Σ_e sizes[e] · matrix[order[e], j]`` over the events of rows ``begin … end − 1``, silence among
    them.

    Args:
        panels: the matrix, whose last row is that of silence, in columns of 64: float32 ``[columns / 64, rows, 64]``.
        out: float32 ``[n, columns]``.
    """
    order, sizes, bounds = lists
    columns, flat, matrices = out.shape[1], out.reshape(-1), panels.reshape(-1)
    for panel in range(panels.shape[0]):
        matrix = rows_of(matrices, panel * panels.shape[1], panels.shape[1], LANES)
        for i in range(begin, end):
            add_rows(matrix, order, sizes, bounds[i], bounds[i + 1], flat, i * columns + panel * LANES)
