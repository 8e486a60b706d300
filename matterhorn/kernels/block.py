"""A whole block in one call.

The kernels of its parts run on a few tokens at a time, so that intermediate results stay in the caches. Buffers for
these results are passed in and reused.
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
"""Results of :func:`run_block` if a digital step met a NaN, or if a spike lay outside its window."""


class Room(NamedTuple):
    """Buffers of a block, for a maximum number of tokens and sequences. All arrays are flat.

    Attributes:
        potentials: int32, :data:`.connections.ROWS` rows of the widest connection.
        levels, slots: uint8, ROWS rows of the widest population.
        hidden: float32, ROWS rows of the residual stream.
        queries: slots of all tokens, uint8.
        keys, values: of all tokens, int8.
        context: potentials of all tokens, int32.
        first: residual stream of the first token of each sequence, float32.
        integers: one row of the residual stream in fixed point, int32.
        lists, attention: buffers of connections and of attention.
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
    """Make the buffers of :func:`run_block`.

    Args:
        width, intermediate, heads: sizes of the block.
        tokens, sequences: number of tokens and sequences in the largest batch.
        longest: number of tokens of the longest sequence.
        short: see :func:`.attention.attention_room`.
        spent: see :class:`.connections.Lists`.
    """
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
    """Send slots ``[rows, in]`` through a connection.

    Returns potentials ``[rows, 64 · words]``, and whether all slots lie within the window.
    """
    out = rows_of(room.potentials, 0, slots.shape[0], planes.offset.shape[0])
    return out, integrate(slots, code, planes, room.lists, out)


@kernel
def fire_into(potentials, left, fired, room, slots):
    """Turn potentials, from column ``left`` on, into ``slots uint8 [rows, n]``."""
    levels, began = rows_of(room.levels, 0, slots.shape[0], slots.shape[1]), now(room.lists.spent)
    fire(potentials, left, fired.limits, fired.code, levels, slots)
    note(room.lists.spent, THRESHOLDS, began)


@kernel
def code_into(x, coded, room, slots):
    """Turn real values ``[rows, n]`` into ``slots uint8 [rows, n]``. Returns False if there is a NaN."""
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
    """First half of a block: compute queries, keys and values of the tokens ``first … last − 1`` of the batch.

    They are written to the room. In a cut block, the call that includes the batch's first token computes the queries of
    the first tokens of all sequences, and other calls compute none.

    Returns 0, :data:`NO_NUMBER` or :data:`OUTSIDE`. Arguments are those of :func:`run_block`.
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
    if own.cut and first == 0:
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
def after_attention(context, x, own, room, out):
    """Compute the residual stream after the block from the context: output connection, norm, feed-forward, norm.

    Args:
        context: potentials of the context, int32 ``[rows, width]``.
        x: residual stream before the block, float32 ``[rows, width]``.
        own, room: :class:`.layout.BlockLayout`, :class:`Room`.
        out: float32 ``[rows, width]``; may be ``x``.

    Returns whether there was no NaN, and whether all slots lay within their windows.
    """
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
    """Second half of a block: attention and feed-forward for the tokens ``first … last − 1``, in place.

    :func:`enter` must have run for all tokens. The tokens are all of the batch, or a part of a single sequence. In a
    cut block, the call that includes the batch's first token computes the results of all sequences, which are the first
    rows of ``x``; other calls do nothing.

    Args:
        asking: int64 ``[sequences + 1]``, where each sequence begins among the tokens from ``first`` on.

    Returns 0, :data:`NO_NUMBER` or :data:`OUTSIDE`. Other arguments are those of :func:`run_block`.
    """
    own, room = opened(bound_layout), opened(bound_room)
    width, tokens, count = x.shape[1], x.shape[0], starts.shape[0] - 1
    keys, values = rows_of(room.keys, 0, tokens, width), rows_of(room.values, 0, tokens, width)
    stream, rows = x[first:last], asking
    if own.cut:
        if first > 0:
            return 0
        stream, rows = rows_of(room.first, 0, count, width), firsts
    queries = rows_of(room.queries, first, stream.shape[0], width)
    context = rows_of(room.context, first, stream.shape[0], width)
    inside = attend(queries, keys, values, rows, starts, places, own.attention, room.attention, context, first)
    real, later_inside = after_attention(context, stream, own, room, x[first : first + stream.shape[0]])
    if not (inside and later_inside):
        return OUTSIDE
    return 0 if real else NO_NUMBER


@kernel
def run_block(x, starts, firsts, places, bound_layout, bound_room):
    """Run the residual stream through a block, in place.

    Args:
        x: float32 ``[N, width]``. After a cut block, the first rows hold the results, one for each sequence.
        starts: int64 ``[sequences + 1]``, where each sequence begins among the tokens.
        firsts: the same if each sequence had one token: 0, 1, 2, …
        places: int64 ``[N]``, position of each token in its text.
        bound_layout, bound_room: :class:`.bound.Bound` of a :class:`.layout.BlockLayout` and of a :class:`Room`.

    Returns 0, :data:`NO_NUMBER` or :data:`OUTSIDE`.
    """
    failed = enter(x, 0, x.shape[0], starts, bound_layout, bound_room)
    return failed if failed else finish(x, 0, x.shape[0], starts, starts, firsts, places, bound_layout, bound_room)
