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
from .lanes import LANES, lowest_bit
from .lookup import ENTRIES, GROUP, add_one, add_three, group_events, outside, tabulate
from .ticks import EVENTS, SUMS, note, now

SILENT = np.uint8(SILENT_SLOT)
NARROW = 127
"""Largest sum of a chunk of groups: it fits int8."""
MOST = NARROW // 2
"""Largest part of one input's κ: two inputs of a group always fit a chunk."""
WIDE = 2**15 - 1
"""Largest sum of chunks that are added up together: it fits int16."""
ROWS = 32
"""Rows that are listed before weights are added for them: weights of three words of columns stay in the first cache."""


class Lists(NamedTuple):
    """What rows with spikes are turned into, and room for it.

    Attributes:
        padded: a row of slots, uint8 ``[1, n]``, n a multiple of 64.
        parts: int8 ``[groups + 1, 8]``, sizes: int32 ``[groups]``, see :func:`.lookup.group_events`.
        order: numbers of groups, int32 ``[ROWS, most]``. tables: int8 ``[ROWS, most, 32]``.
        bounds: int32 ``[ROWS, most + 2]``, chunk c holds groups bounds[c] … bounds[c + 1] − 1.
        chunks: their number, totals: Σ κ of each row, int64 ``[ROWS]``.
        spent: ticks by stage, int64 (see :mod:`.ticks`), or None.
    """

    padded: NDArray[np.uint8]
    parts: NDArray[np.int8]
    sizes: NDArray[np.int32]
    order: NDArray[np.int32]
    tables: NDArray[np.int8]
    bounds: NDArray[np.int32]
    chunks: NDArray[np.int64]
    totals: NDArray[np.int64]
    spent: NDArray[np.int64] | None


def lists_for(neurons: int, rows: int, spent: NDArray[np.int64] | None = None) -> Lists:
    """Room for ``rows`` rows of so many neurons. (A group whose spikes are too large for one chunk is listed twice.)"""
    groups = -(-neurons // LANES) * (LANES // GROUP)
    most = 2 * groups
    return Lists(
        np.full((1, GROUP * groups), SILENT, np.uint8),
        np.empty((groups + 1, 2 * GROUP), np.int8),
        np.empty(groups, np.int32),
        np.empty((rows, most), np.int32),
        np.empty((rows, most, 2 * ENTRIES), np.int8),
        np.empty((rows, most + 2), np.int32),
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
        spent,
    )


@kernel
def copy(source, target):
    """All of ``source [n]`` to the beginning of ``target``."""
    for i in range(source.shape[0]):
        target[i] = source[i]


@kernel
def list_halves(lists, row, group, events):
    """A group whose spikes are too large for one chunk: twice in a row's list, with two of its inputs each."""
    spare = lists.sizes.shape[0]
    for half in range(2):
        lists.parts[spare] = 0
        for i in range(2 * half, 2 * half + 2):
            lists.parts[spare, i] = lists.parts[group, i]
            lists.parts[spare, GROUP + i] = lists.parts[group, GROUP + i]
        lists.chunks[row] += 1
        lists.bounds[row, lists.chunks[row]] = events + half
        lists.order[row, events + half] = group
        tabulate(lists.parts, spare, lists.tables, row, events + half)


@kernel
def list_rows(slots, first, rows, code, lists):
    """List, for ``rows`` rows of ``slots uint8 [all, n]`` from ``first`` on, the groups of inputs with spikes, cut into
    chunks. False where a slot is outside the window."""
    neurons, padded, wrong = slots.shape[1], code.whole.shape[0], False
    parts, sizes, order, tables, bounds = lists.parts, lists.sizes, lists.order, lists.tables, lists.bounds
    totals = lists.totals
    for row in range(rows):
        own, place = slots, first + row
        if neurons < padded:
            copy(slots[first + row], lists.padded[0])
            lists.padded[0, neurons:padded] = SILENT
            own, place = lists.padded, 0
        events, chunks, room = 0, 0, NARROW
        bounds[row, 0] = 0
        lists.totals[row] = 0
        for start in range(0, padded, LANES):
            mask = group_events(
                own, place, start, code.top, code.whole, code.rest, parts, sizes, totals, row, code.unit
            )
            wrong |= outside(own, place, start, code.top)
            while mask != 0:
                group = start // GROUP + lowest_bit(mask)
                mask &= mask - np.uint64(1)
                size = int(sizes[group])
                if size > NARROW:
                    lists.chunks[row] = chunks
                    list_halves(lists, row, group, events)
                    chunks, room = lists.chunks[row], 0
                    events += 2
                    continue
                if size > room:
                    chunks += 1
                    bounds[row, chunks] = events
                    room = NARROW
                room -= size
                order[row, events] = group
                tabulate(parts, group, tables, row, events)
                events += 1
        if events > 0:
            chunks += 1
            bounds[row, chunks] = events
        lists.chunks[row] = chunks
    return not wrong


@kernel
def add_rows(planes, plane, word, three, lists, unit, out, first, rows):
    """Add what the lists say for three words of columns, or one, to rows of ``out int32 [all, 64 · words]`` from
    ``first`` on; the first plane begins with the offset."""
    choices, offset, factor = planes.choices, planes.offset, planes.factors[plane]
    order, tables, bounds = lists.order, lists.tables, lists.bounds
    most = WIDE // (NARROW if unit == 1 else (unit + 1) * NARROW)
    for row in range(rows):
        begin, chunks, fresh, start = 0, lists.chunks[row], plane == 0, np.int32(0)
        if fresh:
            start = np.int32(planes.floor * lists.totals[row])
        while begin == 0 or begin < chunks:
            end = min(chunks, begin + most)
            weights, own = (choices, plane, word), (order, tables, bounds, row, begin, end)
            into = (unit, factor, offset, fresh, start, out, first + row)
            if three:
                add_three(*weights, *own, *into)
            else:
                add_one(*weights, *own, *into)
            begin, fresh, start = max(end, 1), False, np.int32(0)


@kernel
def integrate(slots, code, planes, lists, out):
    """Events through packed weights.

    ``slots uint8 [rows, in]``, ``code`` and ``planes`` as in :mod:`.layout`, room as :func:`lists_for` makes it →
    potentials ``out int32 [rows, 64 · words]``. Returns False where a slot is outside the window.
    """
    words, together = planes.choices.shape[1], lists.chunks.shape[0]
    for begin in range(0, slots.shape[0], together):
        rows, began = min(together, slots.shape[0] - begin), now(lists.spent)
        if not list_rows(slots, begin, rows, code, lists):
            return False
        began = note(lists.spent, EVENTS, began)
        for plane in range(planes.choices.shape[0]):
            word = 0
            while word < words:
                three = word + 3 <= words
                add_rows(planes, plane, word, three, lists, code.unit, out, begin, rows)
                word += 3 if three else 1
        note(lists.spent, SUMS, began)
    return True


@kernel
def product(kappa, rows, offset, out):
    """The closed form: out[i, j] = offset[j] + Σ_k κ[i, k] · w[k, j], in integers.

    ``kappa int16 [n, in]``, ``rows int8 [in, out]``, ``offset int32 [out]`` → ``out int32 [n, out]``.
    """
    for i in range(kappa.shape[0]):
        copy(offset, out[i])
        for k in range(kappa.shape[1]):
            value = np.int32(kappa[i, k])
            if value != 0:
                for j in range(rows.shape[1]):
                    out[i, j] += value * np.int32(rows[k, j])


def words_for(columns: int) -> int:
    """Words that hold a bit for each column."""
    return -(-columns // LANES)
