"""Connections: by events, with sums that are looked up by packed weights, and as a plain integer product.

Events are handled in groups of four inputs. A silent group costs nothing. For a group with spikes, the sums of its κ
over each of the 16 subsets of its inputs are computed once, one byte each. In a column of one-bit weights, the group's
four bits select one of these sums. A byte shuffle looks up 16 to 64 columns at once.

Why nothing overflows: a table is made of κ with Σ |κ| ≤ :data:`MOST`, so its sums fit a byte; larger κ are split into
parts. At most :data:`.lookup.PASS` such bytes are added in 16 bits, and potentials in 32 bits. A program is refused
when it is loaded if its weights and codes could take a potential out of ± 2²⁴ (:data:`matterhorn.program.parts.REACH`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..coding import SILENT as SILENT_SLOT
from .compile import kernel
from .lanes import LANES, lowest_bit
from .lookup import BIAS, ENTRIES, GROUP, PASS, add_one, add_three, group_events, tabulate
from .ticks import EVENTS, SUMS, note, now

SILENT = np.uint8(SILENT_SLOT)
MOST = BIAS - 1
"""Largest Σ |κ| of a group that takes one table of sums. The κ of other groups are split into parts."""
PARTS = 4
"""Number of parts of an input's κ that there is room for, so |κ| is at most ``PARTS * MOST``."""
_GROUPS, _LARGE = np.uint64(2**16 - 1), np.uint64(16)
"""Mask and shift for the word that :func:`.lookup.group_events` returns."""
ROWS = 32
"""Rows that are listed before weights are added for them. The weights of three words of columns then stay in the
first-level cache."""


class Lists(NamedTuple):
    """Buffers for the groups with spikes of some rows. Each group has a table of sums.

    Attributes:
        padded: one row of slots, padded with silence, uint8 ``[1, n]``, n a multiple of 64.
        parts: κ by group, int16 ``[groups + 1, 4]``, see :func:`.lookup.group_events`. The last row is for groups that
            are split into parts.
        order: number of each listed group, int32 ``[most]``.
        tables: its sums, uint8 ``[most, 16]``, see :func:`.lookup.tabulate`.
        starts: where the groups of each row begin, int64 ``[rows + 1]``.
        totals: Σ κ of each row, int64 ``[rows]``.
        spent: int64, ticks by stage (:mod:`.ticks`), or None.
    """

    padded: NDArray[np.uint8]
    parts: NDArray[np.int16]
    order: NDArray[np.int32]
    tables: NDArray[np.uint8]
    starts: NDArray[np.int64]
    totals: NDArray[np.int64]
    spent: NDArray[np.int64] | None


def lists_for(neurons: int, rows: int, spent: NDArray[np.int64] | None = None) -> Lists:
    """Make room for ``rows`` rows of ``neurons`` neurons."""
    groups = -(-neurons // LANES) * (LANES // GROUP)
    most = rows * groups * GROUP * PARTS
    return Lists(
        np.full((1, GROUP * groups), SILENT, np.uint8),
        np.empty((groups + 1, GROUP), np.int16),
        np.empty(most, np.int32),
        np.empty((most, ENTRIES), np.uint8),
        np.zeros(rows + 1, np.int64),
        np.empty(rows, np.int64),
        spent,
    )


@kernel
def copy(source, target):
    """Copy ``source [n]`` to the beginning of ``target``."""
    for i in range(source.shape[0]):
        target[i] = source[i]


@kernel
def list_parts(lists, group, events):
    """List a group whose κ are too large for one table, once for each part of each κ.

    ``events``: how many are listed already. Returns how many are listed then.
    """
    spare = lists.parts.shape[0] - 1
    lists.parts[spare] = 0
    for i in range(GROUP):
        left = int(lists.parts[group, i])
        while left != 0:
            part = min(max(left, -MOST), MOST)
            left -= part
            lists.parts[spare, i] = part
            lists.order[events] = group
            tabulate(lists.parts, spare, lists.tables, events)
            events += 1
        lists.parts[spare, i] = 0
    return events


@kernel
def list_rows(slots, first, rows, code, lists):
    """List the groups with spikes of ``rows`` rows of ``slots uint8 [all, n]``, from row ``first`` on.

    Returns False if a slot is outside the window.
    """
    neurons, padded, late, events = slots.shape[1], code.silence.shape[0], np.uint64(0), 0
    parts, order, tables, totals = lists.parts, lists.order, lists.tables, lists.totals
    for row in range(rows):
        own, place = slots, first + row
        if neurons < padded:
            copy(slots[first + row], lists.padded[0])
            lists.padded[0, neurons:padded] = SILENT
            own, place = lists.padded, 0
        totals[row] = 0
        for start in range(0, padded, LANES):
            found = group_events(own, place, start, code.top, code.unit, code.silence, MOST, parts, totals, row)
            mask, large = found & _GROUPS, found >> _LARGE & _GROUPS
            late |= found >> _LARGE >> _LARGE
            mask ^= large
            while mask != 0:
                group = start // GROUP + lowest_bit(mask)
                mask &= mask - np.uint64(1)
                order[events] = group
                tabulate(parts, group, tables, events)
                events += 1
            while large != 0:
                events = list_parts(lists, start // GROUP + lowest_bit(large), events)
                large &= large - np.uint64(1)
        lists.starts[row + 1] = events
    return late == 0


@kernel
def add_rows(planes, plane, word, three, lists, out, first, rows):
    """Add the looked-up sums of listed rows to ``out int32 [all, 64 · words]``, from row ``first`` on.

    This covers one plane, and the columns of three words (or, if not ``three``, one) from ``word`` on. The first plane
    begins with the offset and the weights' floor, and overwrites ``out``.
    """
    choices, factor, order, tables = planes.choices, planes.factors[plane], lists.order, lists.tables
    for row in range(rows):
        begin, last, fresh = lists.starts[row], lists.starts[row + 1], plane == 0
        start = np.int32(planes.floor * lists.totals[row]) if fresh else np.int32(0)
        while fresh or begin < last:
            end = min(last, begin + PASS)
            start -= np.int32(BIAS * (end - begin)) * factor
            weights, own = (choices, plane, word), (order, tables, begin, end)
            into = (factor, planes.offset, fresh, start, out, first + row)
            if three:
                add_three(*weights, *own, *into)
            else:
                add_one(*weights, *own, *into)
            begin, fresh, start = end, False, np.int32(0)


@kernel
def integrate(slots, code, planes, lists, out):
    """Send events through packed weights.

    Args:
        slots: uint8 ``[rows, in]``.
        code, planes: :class:`.layout.CodeLayout` of the neurons that send, :class:`.layout.Planes`.
        lists: buffers, from :func:`lists_for`.
        out: int32 ``[rows, 64 · words]``, set to the potentials.

    Returns False if a slot is outside the window.
    """
    words, together = planes.choices.shape[1], lists.totals.shape[0]
    for begin in range(0, slots.shape[0], together):
        rows, began = min(together, slots.shape[0] - begin), now(lists.spent)
        if not list_rows(slots, begin, rows, code, lists):
            return False
        began = note(lists.spent, EVENTS, began)
        for plane in range(planes.choices.shape[0]):
            word = 0
            while word < words:
                three = word + 3 <= words
                add_rows(planes, plane, word, three, lists, out, begin, rows)
                word += 3 if three else 1
        note(lists.spent, SUMS, began)
    return True


@kernel
def product(kappa, rows, offset, out):
    """Compute potentials in closed form: out[i, j] = offset[j] + Σ_k κ[i, k] · rows[k, j].

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
    """Number of 64-bit words that hold one bit for each column."""
    return -(-columns // LANES)
