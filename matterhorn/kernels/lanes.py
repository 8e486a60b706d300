"""Vector instructions that numba does not produce from loops.

They are built in LLVM IR, so they run on any processor. In all of them, arrays must be contiguous.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

instruction: Any = intrinsic

LANES = 64
"""Neurons in a word of packed weights."""

SCAN = 32
"""Neurons that :func:`spiking` examines at once."""

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def vector(kind: ir.Type, lanes: int = LANES) -> ir.Type:
    """Return the type of a vector of ``lanes`` numbers."""
    return ir.VectorType(kind, lanes)


def splat(builder: Any, value: Any, kind: ir.Type, lanes: int = LANES) -> Any:
    """Return a vector with the same number in every lane."""
    first = builder.insert_element(ir.Constant(vector(kind, lanes), ir.Undefined), value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, first, ir.Constant(vector(I32, lanes), [0] * lanes))


@instruction
def lowest_bit(typingctx: Any, word: Any) -> Any:
    """Return the index of the lowest bit that is set, or 64 if none is. ``uint64 → int64``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


def at(builder: Any, data: Any, place: Any, kind: ir.Type) -> Any:
    """Return a pointer to the vector of type ``kind`` that begins at ``data[place]``."""
    return builder.bitcast(builder.gep(data, [place]), kind.as_pointer())


def rows_from(context: Any, builder: Any, kind: Any, array: Any, row: Any) -> Any:
    """Return a pointer to row ``row`` of a contiguous array. (A view would cost a reference count in every call.)"""
    own = make_array(kind)(context, builder, array)
    length = ir.Constant(I64, 1)
    for size in cgutils.unpack_tuple(builder, own.shape)[1:]:
        length = builder.mul(length, size)
    return builder.gep(own.data, [builder.mul(row, length)])


@instruction
def rows_of(typingctx: Any, flat: Any, first: Any, rows: Any, columns: Any) -> Any:
    """Return a view ``[rows, columns]`` of a flat, contiguous array, from row ``first`` on."""
    kind = types.Array(flat.dtype, 2, "C", readonly=not flat.mutable)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        own, view = make_array(signature.args[0])(context, builder, args[0]), make_array(kind)(context, builder)
        data, size = builder.gep(own.data, [builder.mul(args[1], args[3])]), own.itemsize
        shape, strides = (args[2], args[3]), (builder.mul(args[3], size), size)
        populate_array(view, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
        return view._getvalue()

    return kind(flat, types.intp, types.intp, types.intp), generate


def _scanner(lanes: int, quiet: int) -> Any:
    """Make an instruction that finds which of ``lanes`` integers of 8 or 16 bits differ from ``quiet``."""

    @instruction
    def scan(typingctx: Any, values: Any, start: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.VectorType(ir.IntType(values.dtype.bitwidth), lanes)
            data = make_array(signature.args[0])(context, builder, args[0]).data
            found = builder.load(at(builder, data, args[1], kind), align=1)
            mask = builder.icmp_unsigned("!=", found, ir.Constant(kind, [quiet] * lanes))
            word = builder.bitcast(mask, ir.IntType(lanes))
            return word if lanes == LANES else builder.zext(word, I64)

        return types.uint64(values, types.intp), generate

    return scan


spiking = _scanner(SCAN, -1)
"""``spiking(slots, start)``: bit i of the returned word says whether ``slots[start + i]`` (uint8) is a spike, for 32 i.
"""

nonzero = _scanner(LANES, 0)
"""``nonzero(kappa, start)``: bit i of the returned word says whether ``kappa[start + i]`` (int8 or int16) is not 0, for
64 i."""


@instruction
def at_least(typingctx: Any, values: Any, start: Any, least: Any) -> Any:
    """Return a word whose bit i says whether ``values[start + i]`` (float32) is at least ``least``, for 32 i."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(ir.FloatType(), SCAN)
        data = make_array(signature.args[0])(context, builder, args[0]).data
        found = builder.load(at(builder, data, args[1], kind), align=4)
        mask = builder.fcmp_ordered(">=", found, splat(builder, args[2], ir.FloatType(), SCAN))
        return builder.zext(builder.bitcast(mask, ir.IntType(SCAN)), I64)

    return types.uint64(values, types.intp, types.float32), generate


@instruction
def differing(typingctx: Any, values: Any, start: Any, others: Any, place: Any) -> Any:
    """Return a word whose bit i says whether ``values[start + i]`` differs from ``others[place + i]``, for 32 i.

    Both are float32. NaN differs from everything.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(ir.FloatType(), SCAN)
        sides = []
        for array, where in ((0, 1), (2, 3)):
            data = make_array(signature.args[array])(context, builder, args[array]).data
            sides.append(builder.load(at(builder, data, args[where], kind), align=4))
        mask = builder.fcmp_unordered("!=", *sides)
        return builder.zext(builder.bitcast(mask, ir.IntType(SCAN)), I64)

    return types.uint64(values, types.intp, others, types.intp), generate


SIDE = 16
"""Rows and columns of the square that :func:`transpose` transposes."""


@instruction
def transpose(
    typingctx: Any, rows: Any, first: Any, last: Any, left: Any, kept: Any, out: Any, start: Any, stride: Any
) -> Any:
    """Transpose a square of bytes and widen them: ``out[start + i · stride + j] = rows[first + j, left + i]``.

    i and j run from 0 to :data:`SIDE` − 1. From j = ``kept`` on, 0 is written instead.

    Args:
        rows: int8 ``[n, width]``. No row after ``last`` is read.
        out: integers, flat.
    """
    place = types.intp
    own: Any = out.dtype

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        table, target = (make_array(signature.args[i])(context, builder, args[i]) for i in (0, 5))
        width, kind, wide = cgutils.unpack_tuple(builder, table.shape)[1], vector(I8, SIDE), ir.IntType(own.bitwidth)
        lines = []
        for j in range(SIDE):
            row = builder.add(args[1], ir.Constant(I64, j))
            row = builder.select(builder.icmp_signed("<", row, args[2]), row, args[2])
            where = builder.add(builder.mul(row, width), args[3])
            lines.append(builder.load(at(builder, table.data, where, kind), align=1))
        half = SIDE // 2
        low, high = (
            ir.Constant(vector(I32, SIDE), [k for i in range(begin, begin + half) for k in (i, i + SIDE)])
            for begin in (0, half)
        )
        for _ in range(4):  # in each of log2(SIDE) rounds, lines half a square apart are interleaved
            pairs = list(zip(lines[:half], lines[half:], strict=True))
            lines = [builder.shuffle_vector(*pair, order) for pair in pairs for order in (low, high)]
        numbers = ir.Constant(vector(I64, SIDE), list(range(SIDE)))
        keep = builder.icmp_signed("<", numbers, splat(builder, args[4], I64, SIDE))
        for i, line in enumerate(lines):
            found = builder.select(keep, line, ir.Constant(kind, None))
            where = builder.add(args[6], builder.mul(args[7], ir.Constant(I64, i)))
            wider = builder.sext(found, vector(wide, SIDE))
            builder.store(wider, at(builder, target.data, where, vector(wide, SIDE)), align=own.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(rows, place, place, place, place, out, place, place), generate


@instruction
def add_events(
    typingctx: Any,
    table: Any,
    stride: Any,
    order: Any,
    factors: Any,
    count: Any,
    base: Any,
    own: Any,
    column: Any,
    out: Any,
    start: Any,
) -> Any:
    """Add up rows of integers.

    ``out[start + i] = base[own + i] + Σ_e factors[e] · table[order[e] · stride + column + i]``, over the events 0 to
    ``count − 1``, for i from 0 to :data:`SCAN` − 1. ``order`` and ``factors`` are int32. ``table``, ``base`` and
    ``out`` are integers; sums have the width of ``out``.
    """
    place = types.intp
    lane = ir.IntType(out.dtype.bitwidth)

    def widened(builder: Any, value: Any, kind: Any) -> Any:
        here, there = (getattr(k, "element", k).width for k in (value.type, kind))
        return builder.sext(value, kind) if here < there else builder.trunc(value, kind) if here > there else value

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, numbers, weights, begin, target = (
            make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 2, 3, 5, 8)
        )
        sums = vector(lane, SCAN)

        def look(data: Any, where: Any) -> Any:
            kind = data.type.pointee
            found = builder.load(at(builder, data, where, vector(kind, SCAN)), align=kind.width // 8)
            return widened(builder, found, sums)

        total = cgutils.alloca_once_value(builder, look(begin, args[6]))
        with cgutils.for_range(builder, args[4], intp=I64) as loop:
            row = builder.sext(builder.load(builder.gep(numbers, [loop.index])), I64)
            factor = widened(builder, builder.load(builder.gep(weights, [loop.index])), lane)
            values = look(rows, builder.add(builder.mul(row, args[1]), args[7]))
            product = builder.mul(values, splat(builder, factor, lane, SCAN))
            builder.store(builder.add(builder.load(total), product), total)
        builder.store(builder.load(total), at(builder, target, args[9], sums), align=lane.width // 8)
        return context.get_dummy_value()

    return types.void(table, place, order, factors, place, base, place, place, out, place), generate


EVENTS_AT_ONCE = 4
"""Events that :func:`add_real_rows` takes at a time."""

_SUMS = ir.VectorType(ir.FloatType(), LANES)
_ONCE = ("contract",)
"""LLVM's flag that allows a product and the addition after it to be rounded only once."""


@instruction
def add_real_rows(
    typingctx: Any, matrix: Any, order: Any, kept: Any, first: Any, last: Any, out: Any, start: Any
) -> Any:
    """Add up rows of real numbers: ``out[start + j] = Σ_e kept[e] · matrix[order[e], j]``, for 64 columns j.

    e runs over the events ``first … last − 1``, whose number is a multiple of :data:`EVENTS_AT_ONCE`. ``matrix`` is
    float32 ``[rows, 64]``, ``order`` uint16, ``kept`` and ``out`` float32. There are two partial sums, so that an
    addition does not have to wait for the one before it.
    """
    place = types.intp

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, numbers, lengths, target = (
            make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 1, 2, 5)
        )
        sums = [cgutils.alloca_once(builder, _SUMS) for _ in range(2)]
        for total in sums:
            builder.store(ir.Constant(_SUMS, None), total)
        with cgutils.for_range_slice(builder, args[3], args[4], ir.Constant(I64, EVENTS_AT_ONCE), I64) as (at, _):
            for i in range(EVENTS_AT_ONCE):
                event, total = builder.add(at, ir.Constant(I64, i)), sums[i % 2]
                row = builder.zext(builder.load(builder.gep(numbers, [event])), I64)
                source = builder.gep(rows, [builder.mul(row, ir.Constant(I64, LANES))])
                values = builder.load(builder.bitcast(source, _SUMS.as_pointer()), align=4)
                length = splat(builder, builder.load(builder.gep(lengths, [event])), ir.FloatType())
                product = builder.fmul(values, length, flags=_ONCE)
                builder.store(builder.fadd(builder.load(total), product, flags=_ONCE), total)
        both = builder.fadd(*(builder.load(total) for total in sums))
        out_place = builder.bitcast(builder.gep(target, [args[6]]), _SUMS.as_pointer())
        builder.store(both, out_place, align=4)
        return context.get_dummy_value()

    return types.void(matrix, order, kept, place, place, out, place), generate
