"""A whole block in one call.

It runs the kernels of its parts on a few tokens at a time, so that intermediate results stay in the caches. Buffers for
them are passed in and reused.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .attention import AttentionRoom, attend, attention_room
from .bound import opened
from .compile import kernel
from .connections import ROWS, Lists, copy, integrate, lists_for
from .digital import code_values, fire, settle, store
from .lanes import rows_of
from .ticks import LEVELS, NORMS, THRESHOLDS, note, now

NO_NUMBER, OUTSIDE = 1, 2
"""What :func:`run_block` returns if a digital step met a value that is no number, or a spike lay outside."""


class Room(NamedTuple):
    """What a block writes on its way, for so many tokens and sequences.

    Attributes:
        potentials: int32, for :data:`.connections.ROWS` rows of the widest connection.
        levels, slots: uint8, for as many rows of the widest population. hidden: float32, of the residual stream.
        queries: slots, uint8. keys, values: int8. context: potentials, int32. These are of all tokens.
        first: float32, the residual stream of each sequence's first token. integers: int32, of one row of that stream.
        lists, attention: rooms of its parts. All other arrays are flat.
    """

    potentials: NDArray[np.int32]
    levels: NDArray[np.uint8]
    slots: NDArray[np.uint8]
    hidden: NDArray[np.float32]
    queries: NDArray[np.uint8]
    keys: NDArray[np.int8]
    values: NDArray[np.int8]
    context: NDArray[np.int32]
    first: NDArray[np.float32]
    integers: NDArray[np.int32]
    lists: Lists
    attention: AttentionRoom


def room_for(
    width: int,
    intermediate: int,
    heads: int,
    tokens: int,
    sequences: int,
    longest: int,
    *,
    short: bool,
    spent: NDArray[np.int64] | None,
) -> Room:
    """Room for batches of up to so many tokens and sequences, none longer than ``longest``; ``short`` as in
    :func:`.attention.attention_room`, ``spent`` as in :class:`.connections.Lists`."""
    widest = max(3 * width, intermediate) + 64
    return Room(
        np.empty(ROWS * widest, np.int32),
        np.empty(ROWS * widest, np.uint8),
        np.empty(ROWS * widest, np.uint8),
        np.empty(ROWS * width, np.float32),
        np.empty(tokens * width, np.uint8),
        np.empty(tokens * width, np.int8),
        np.empty(tokens * width, np.int8),
        np.empty(tokens * width, np.int32),
        np.empty(sequences * width, np.float32),
        np.empty(width, np.int32),
        lists_for(max(width, intermediate), ROWS, spent),
        attention_room(width // heads, longest, 0, short=short, spent=spent),
    )


@kernel
def pass_array(slots, code, planes, room):
    """Slots ``[rows, in]`` through a connection → potentials ``[rows, 64 · words]`` and whether none lay outside."""
    out = rows_of(room.potentials, 0, slots.shape[0], planes.offset.shape[0])
    return out, integrate(slots, code, planes, room.lists, out)


@kernel
def fire_into(potentials, left, fired, room, slots):
    """Potentials, the columns from ``left`` on → ``slots uint8 [rows, n]``."""
    levels, began = rows_of(room.levels, 0, slots.shape[0], slots.shape[1]), now(room.lists.spent)
    fire(potentials, left, fired.limits, fired.code, levels, slots)
    note(room.lists.spent, THRESHOLDS, began)


@kernel
def code_into(x, coded, room, slots):
    """Real values ``[rows, n]`` → ``slots uint8 [rows, n]``. Returns False where one is no number."""
    levels, began = rows_of(room.levels, 0, slots.shape[0], slots.shape[1]), now(room.lists.spent)
    real = code_values(x, coded.pitch, coded.code, levels, slots)
    note(room.lists.spent, LEVELS, began)
    return real


@kernel
def settle_into(potentials, readout, residual, room, out):
    """See :func:`.digital.settle`."""
    began = now(room.lists.spent)
    real = settle(potentials, readout, residual, room.integers, out)
    note(room.lists.spent, NORMS, began)
    return real


@kernel
def enter(x, first, last, starts, bound_layout, bound_room):
    """The residual stream, tokens ``first … last − 1`` of ``x``, → their queries, stored keys and values in the room.

    In a cut block, queries are those of the first tokens of all sequences, made with the first token of the batch.
    Returns 0, :data:`NO_NUMBER` or :data:`OUTSIDE`.
    """
    own, room = opened(bound_layout), opened(bound_room)
    width, count, inside, real = x.shape[1], starts.shape[0] - 1, True, True
    for begin in range(first, last, ROWS):
        rows = min(ROWS, last - begin)
        slots = rows_of(room.slots, 0, rows, width)
        real &= code_into(x[begin : begin + rows], own.input, room, slots)
        potentials, ok = pass_array(slots, own.input.code, own.entry, room)
        inside &= ok
        left = 0
        if not own.cut:
            left = width
            fire_into(potentials, 0, own.queries, room, rows_of(room.queries, begin, rows, width))
        for flat, stored, column in ((room.keys, own.keys, left), (room.values, own.values, left + width)):
            began = now(room.lists.spent)
            store(potentials, column, stored.limits, stored.bits, rows_of(flat, begin, rows, width))
            note(room.lists.spent, THRESHOLDS, began)
    if own.cut and first == 0 and last > first:
        for begin in range(0, count, ROWS):
            rows = min(ROWS, count - begin)
            asking = rows_of(room.first, begin, rows, width)
            for s in range(rows):
                copy(x[starts[begin + s]], asking[s])
            slots = rows_of(room.slots, 0, rows, width)
            real &= code_into(asking, own.input, room, slots)
            potentials, ok = pass_array(slots, own.input.code, own.query, room)
            inside &= ok
            fire_into(potentials, 0, own.queries, room, rows_of(room.queries, begin, rows, width))
    if not inside:
        return OUTSIDE
    return 0 if real else NO_NUMBER


@kernel
def leave(context, x, own, room, out):
    """Potentials of the context ``[rows, width]`` and the residual stream before it → the residual stream behind the
    block, ``out float32 [rows, width]`` (may be ``x``)."""
    width, real, inside = x.shape[1], True, True
    for begin in range(0, x.shape[0], ROWS):
        rows = min(ROWS, x.shape[0] - begin)
        slots = rows_of(room.slots, 0, rows, width)
        fire_into(context[begin : begin + rows], 0, own.context, room, slots)
        potentials, ok = pass_array(slots, own.context.code, own.output, room)
        inside &= ok
        hidden = rows_of(room.hidden, 0, rows, width)
        real &= settle_into(potentials, own.attention_readout, x[begin : begin + rows], room, hidden)
        real &= code_into(hidden, own.hidden, room, slots)
        potentials, ok = pass_array(slots, own.hidden.code, own.ffn1, room)
        inside &= ok
        wide = rows_of(room.slots, 0, rows, own.intermediate.limits.table.shape[1])
        fire_into(potentials, 0, own.intermediate, room, wide)
        potentials, ok = pass_array(wide, own.intermediate.code, own.ffn2, room)
        inside &= ok
        real &= settle_into(potentials, own.feed_forward_readout, hidden, room, out[begin : begin + rows])
    return real, inside


@kernel
def finish(x, first, last, asking, starts, firsts, places, bound_layout, bound_room):
    """What :func:`enter` made of all tokens → the residual stream behind the block of tokens ``first … last − 1``, in
    place; either all, or a part of a single sequence. In a cut block, its first rows are the answer for all sequences,
    made with the first token. ``asking``: where each sequence begins among the tokens from ``first`` on; the rest as in
    :func:`run_block`, which is also what it returns.
    """
    own, room = opened(bound_layout), opened(bound_room)
    width, tokens, count = x.shape[1], x.shape[0], starts.shape[0] - 1
    keys, values = rows_of(room.keys, 0, tokens, width), rows_of(room.values, 0, tokens, width)
    stream, rows = x[first:last], asking
    if own.cut:
        if first > 0 or last == first:
            return 0
        stream, rows = rows_of(room.first, 0, count, width), firsts
    queries = rows_of(room.queries, first, stream.shape[0], width)
    context = rows_of(room.context, first, stream.shape[0], width)
    inside = attend(queries, keys, values, rows, starts, places, own.attention, room.attention, context, first)
    real, left = leave(context, stream, own, room, x[first : first + stream.shape[0]])
    if not (inside and left):
        return OUTSIDE
    return 0 if real else NO_NUMBER


@kernel
def run_block(x, starts, firsts, places, bound_layout, bound_room):
    """The residual stream through a block, in place.

    Args:
        x: float32 ``[N, width]``. In a block that is cut to the first tokens, the first rows are the answer.
        starts, firsts: int64 ``[sequences + 1]``, where each sequence begins, and 0, 1, 2 …. places: int64 ``[N]``,
            positions in the text.
        bound_layout, bound_room: :class:`.bound.Bound` of a :class:`.layout.BlockLayout` and of a :class:`Room`.

    Returns 0, :data:`NO_NUMBER` or :data:`OUTSIDE`.
    """
    failed = enter(x, 0, x.shape[0], starts, bound_layout, bound_room)
    return failed if failed else finish(x, 0, x.shape[0], starts, starts, firsts, places, bound_layout, bound_room)
