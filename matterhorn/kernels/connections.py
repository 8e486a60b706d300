"""Connections: events in groups of four inputs, whose sums over packed weights are looked up; the integer product.

A row of silent groups costs nothing. For a group with spikes, the sums of its κ over each of the 16 choices of its
inputs are made once; a column of one-bit weights names one of them, and a byte shuffle looks up 16 to 64 columns.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..coding import SILENT as SILENT_SLOT
from .compile import kernel
from .lanes import (
    ENTRIES,
    GROUP,
    LANES,
    add_one,
    add_one_whole,
    add_three,
    add_three_whole,
    group_events,
    lowest_bit,
    outside,
    tabulate,
)

SILENT = np.uint8(SILENT_SLOT)
NARROW = 127
"""Largest sum of a chunk of groups: it fits int8."""
WIDE = 2**15 - 1
"""Largest sum of chunks that are added up together: it fits int16."""
ROWS = 32
"""Rows that are listed before weights are added for them: weights of three words of columns stay in the first cache."""


class Lists(NamedTuple):
    """What rows with spikes are turned into, and room for it.

    Attributes:
        padded: a row of slots, uint8, up to a multiple of 64. parts: int8 ``[groups + 1, 8]``, sizes: int32 ``[groups]``,
            see :func:`.lanes.group_events`.
        order: numbers of groups, int32 ``[ROWS, most]``. tables: int8 ``[ROWS, most, 32]``.
        bounds: int32 ``[ROWS, most + 2]``, chunk c holds groups bounds[c] … bounds[c + 1] − 1. chunks: int64 ``[ROWS]``.
        totals: Σ κ of each row, int64 ``[ROWS]``.
    """

    padded: NDArray[np.uint8]
    parts: NDArray[np.int8]
    sizes: NDArray[np.int32]
    order: NDArray[np.int32]
    tables: NDArray[np.int8]
    bounds: NDArray[np.int32]
    chunks: NDArray[np.int64]
    totals: NDArray[np.int64]


@kernel
def lists_for(neurons, rows):
    """Room for ``rows`` rows of so many neurons. (A group whose spikes are too large for one chunk is listed twice.)"""
    groups = -(-neurons // LANES) * (LANES // GROUP)
    most = 2 * groups
    return Lists(
        np.full(GROUP * groups, SILENT, np.uint8),
        np.empty((groups + 1, 2 * GROUP), np.int8),
        np.empty(groups, np.int32),
        np.empty((rows, most), np.int32),
        np.empty((rows, most, 2 * ENTRIES), np.int8),
        np.empty((rows, most + 2), np.int32),
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
    )


@kernel
def list_group(lists, row, group, name, size, events, room):
    """Add group number ``name`` to a row's list, its tables made of ``parts[group]``; returns the room left in its
    chunk."""
    if size > room:
        lists.chunks[row] += 1
        lists.bounds[row, lists.chunks[row]] = events
        room = NARROW
    lists.order[row, events] = name
    tabulate(lists.parts, group, lists.tables[row], events)
    return room - size


@kernel
def list_row(slots, code, lists, row):
    """List the groups of inputs in which one row (uint8 ``[n]``) has spikes, cut into chunks. False where a slot is
    outside the window."""
    neurons, padded = slots.shape[0], lists.padded.shape[0]
    own = slots
    if neurons < padded:
        own = lists.padded
        own[:neurons] = slots
    spare = lists.sizes.shape[0]
    events, room, total, wrong = 0, NARROW, np.int64(0), False
    lists.bounds[row, 0] = 0
    lists.chunks[row] = 0
    for start in range(0, padded, LANES):
        mask = group_events(own, start, code.top, code.whole, code.rest, lists.parts, lists.sizes)
        wrong |= outside(own, start, code.top)
        while mask != 0:
            group = start // GROUP + lowest_bit(mask)
            mask &= mask - np.uint64(1)
            size = np.int64(lists.sizes[group])
            first = events
            if size <= NARROW:
                room = list_group(lists, row, group, group, size, events, room)
                events += 1
            else:
                for half in range(2):
                    lists.parts[spare] = 0
                    for i in range(2 * half, 2 * half + 2):
                        lists.parts[spare, i] = lists.parts[group, i]
                        lists.parts[spare, GROUP + i] = lists.parts[group, GROUP + i]
                    room = list_group(lists, row, spare, group, NARROW, events, room)
                    events += 1
            for e in range(first, events):
                whole, rest = lists.tables[row, e, ENTRIES - 1], lists.tables[row, e, 2 * ENTRIES - 1]
                total += code.unit * np.int64(whole) + np.int64(rest)
    lists.totals[row] = total
    if events > 0:
        lists.chunks[row] += 1
        lists.bounds[row, lists.chunks[row]] = events
    return not wrong


@kernel
def add_listed(planes, plane, word, three, lists, row, unit, out):
    """Add what a row's lists say for three words of columns, or one, to ``out int32 [64 · words]``; the first plane
    begins with the offset."""
    order, tables, bounds = lists.order[row], lists.tables[row], lists.bounds[row]
    choices, factor, chunks = planes.choices[plane], planes.factors[plane], lists.chunks[row]
    most = WIDE // (NARROW if unit == 1 else (unit + 1) * NARROW)
    first, base, start = 0, out, np.int32(0)
    if plane == 0:
        base, start = planes.offset, np.int32(planes.floor * lists.totals[row])
    while True:
        last = min(chunks, first + most)
        if unit == 1:
            if three:
                add_three_whole(choices, word, order, tables, bounds, first, last, unit, factor, base, start, out)
            else:
                add_one_whole(choices, word, order, tables, bounds, first, last, unit, factor, base, start, out)
        elif three:
            add_three(choices, word, order, tables, bounds, first, last, unit, factor, base, start, out)
        else:
            add_one(choices, word, order, tables, bounds, first, last, unit, factor, base, start, out)
        if last == chunks:
            return
        first, base, start = last, out, np.int32(0)


@kernel
def integrate(slots, code, planes, lists, out):
    """Events through packed weights.

    ``slots uint8 [rows, in]``, ``code`` and ``planes`` as in :mod:`.layout`, room as :func:`lists_for` makes it →
    potentials ``out int32 [rows, 64 · words]``. Returns False where a slot is outside the window.
    """
    words, together = planes.choices.shape[1], lists.chunks.shape[0]
    for begin in range(0, slots.shape[0], together):
        rows = min(together, slots.shape[0] - begin)
        for i in range(rows):
            if not list_row(slots[begin + i], code, lists, i):
                return False
        for plane in range(planes.choices.shape[0]):
            word = 0
            while word < words:
                three = word + 3 <= words
                for i in range(rows):
                    add_listed(planes, plane, word, three, lists, i, code.unit, out[begin + i])
                word += 3 if three else 1
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
