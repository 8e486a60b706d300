"""Looking sums up: what four inputs with spikes add to a column is one of 16 sums, named by the column's weights.

Vector instructions built in LLVM's own language; only the look-up itself, a shuffle of bytes, is the processor's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.np.arrayobj import make_array

from .lanes import I8, I16, I32, I64, LANES, at, instruction, rows_from, splat, vector

GROUP = 4
"""Inputs whose spikes are looked up together."""

ENTRIES = 2**GROUP
"""Sums that a group has: one for each choice of its inputs."""

_GROUPS = LANES // GROUP


def _size(builder: Any, vector: Any) -> Any:
    negative = builder.sub(ir.Constant(vector.type, None), vector)
    return builder.select(builder.icmp_signed(">", vector, negative), vector, negative)


def _sum(builder: Any, numbers: Any) -> Any:
    """Of 64 integers of 8 bits: it fits 16."""
    wide = builder.sext(numbers, vector(I16))
    add = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(I16, [wide.type]), "llvm.vector.reduce.add.v64i16"
    )
    return builder.sext(builder.call(add, [wide]), I64)


@instruction
def group_events(
    typingctx: Any,
    slots: Any,
    row: Any,
    start: Any,
    top: Any,
    whole: Any,
    rest: Any,
    parts: Any,
    sizes: Any,
    totals: Any,
    place: Any,
    unit: Any,
) -> Any:
    """Cut κ of 64 slots of a row from ``start`` on into whole levels, T − slot − ``whole``, and −``rest``; both 0 in
    silence.

    ``slots uint8 [rows, n]``, ``whole``, ``rest int8 [n]``, all contiguous → ``parts int8 [groups, 2 · GROUP]``, whole
    levels of each group and then the rests, and ``sizes int32 [groups]``, in each group
    Σ max(|whole level|, |rest|); Σ κ, unit · whole level + rest, is added to ``totals int64`` at ``place``. Returns
    which of the 16 groups hold a spike, a word with a bit for each.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        arrays = [make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 4, 5, 6, 7)]
        arrays[0] = rows_from(context, builder, signature.args[0], args[0], args[1])
        start, bytes_, words = args[2], vector(I8), vector(I32, _GROUPS)
        silence, own = ir.Constant(bytes_, [-1] * LANES), ir.Constant(bytes_, None)
        slot, level, rest = (builder.load(at(builder, data, start, bytes_), align=1) for data in arrays[:3])
        awake = builder.icmp_unsigned("!=", slot, silence)
        above = builder.sub(builder.sub(splat(builder, builder.trunc(args[3], I8), I8), slot), level)
        above, rest = builder.select(awake, above, own), builder.select(awake, builder.sub(own, rest), own)
        largest, other = _size(builder, above), _size(builder, rest)
        largest = builder.select(builder.icmp_signed(">", largest, other), largest, other)
        even, half = ir.Constant(words, [0x00FF00FF] * _GROUPS), ir.Constant(words, [0xFFFF] * _GROUPS)
        sums = builder.bitcast(largest, words)
        for bits, kept in ((8, even), (16, half)):
            shifted = builder.lshr(sums, ir.Constant(words, [bits] * _GROUPS))
            sums = builder.add(builder.and_(sums, kept), builder.and_(shifted, kept))
        group = builder.lshr(start, ir.Constant(I64, 2))
        builder.store(sums, at(builder, arrays[4], group, words), align=4)
        order = ir.Constant(vector(I32, 2 * _GROUPS), [n for g in range(_GROUPS) for n in (g, _GROUPS + g)])
        both = builder.shuffle_vector(builder.bitcast(above, words), builder.bitcast(rest, words), order)
        place = builder.mul(group, ir.Constant(I64, 2 * GROUP))
        builder.store(both, at(builder, arrays[3], place, both.type), align=1)
        total = at(builder, make_array(signature.args[8])(context, builder, args[8]).data, args[9], I64)
        own_total = builder.add(builder.mul(_sum(builder, above), args[10]), _sum(builder, rest))
        builder.store(builder.add(builder.load(total), own_total), total)
        some = builder.icmp_unsigned("!=", builder.bitcast(slot, words), builder.bitcast(silence, words))
        return builder.zext(builder.bitcast(some, ir.IntType(_GROUPS)), I64)

    place_and_unit = (types.intp, types.intp)
    arguments = (slots, types.intp, types.intp, types.intp, whole, rest, parts, sizes, totals, *place_and_unit)
    return types.uint64(*arguments), generate


@instruction
def outside(typingctx: Any, slots: Any, row: Any, start: Any, top: Any) -> Any:
    """Whether one of 64 slots of a row (uint8, contiguous) from ``start`` on is a spike beyond slot ``top``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data, bytes_ = rows_from(context, builder, signature.args[0], args[0], args[1]), vector(I8)
        slot = builder.load(at(builder, data, args[2], bytes_), align=1)
        late = builder.icmp_unsigned(">", slot, splat(builder, builder.trunc(args[3], I8), I8))
        late = builder.and_(late, builder.icmp_unsigned("!=", slot, ir.Constant(bytes_, [-1] * LANES)))
        return builder.icmp_unsigned("!=", builder.bitcast(late, I64), ir.Constant(I64, 0))

    return types.boolean(slots, types.intp, types.intp, types.intp), generate


@instruction
def tabulate(typingctx: Any, parts: Any, group: Any, tables: Any, row: Any, event: Any) -> Any:
    """The 16 sums of a group's whole levels over each choice of its inputs, then those of its rests.

    ``parts int8`` as :func:`group_events` leaves them → ``tables int8 [rows, events, 2 · ENTRIES]``; entry c
    is over the inputs whose bit is set in c.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source = make_array(signature.args[0])(context, builder, args[0]).data
        target = rows_from(context, builder, signature.args[2], args[2], args[3])
        width, none, total = 2 * GROUP, ir.Constant(vector(I8, 2 * GROUP), None), None
        own = builder.load(at(builder, source, builder.mul(args[1], ir.Constant(I64, width)), none.type), align=1)
        for i in range(GROUP):
            chosen = [i + GROUP * half if c >> i & 1 else width for half in (0, 1) for c in range(ENTRIES)]
            term = builder.shuffle_vector(own, none, ir.Constant(vector(I32, 2 * ENTRIES), chosen))
            total = term if total is None else builder.add(total, term)
        place = builder.mul(args[4], ir.Constant(I64, 2 * ENTRIES))
        builder.store(total, at(builder, target, place, vector(I8, 2 * ENTRIES)), align=1)
        return context.get_dummy_value()

    return types.void(parts, types.intp, tables, types.intp, types.intp), generate


def byte_shuffle(context: Any, module: Any) -> tuple[int, Callable[[Any, Any, Any], Any]]:
    """This processor's look-up of bytes: how many at a time, and how ``(builder, table, choices)`` is said."""
    triple, _, features = context.codegen().magic_tuple()
    known = set(features.split(","))
    for needed, lanes, name in (
        ("+avx512bw", 64, "llvm.x86.avx512.pshuf.b.512"),
        ("+avx2", 32, "llvm.x86.avx2.pshuf.b"),
        ("+ssse3", 16, "llvm.x86.ssse3.pshuf.b.128"),
        ("+neon", 16, "llvm.aarch64.neon.tbl1.v16i8"),
    ):
        if needed in known and (needed != "+neon" or triple.startswith(("aarch64", "arm64"))):
            kind = vector(I8, lanes)
            function = cgutils.get_or_insert_function(module, ir.FunctionType(kind, [kind, kind]), name)

            def look_up(builder: Any, table: Any, choices: Any, function: Any = function) -> Any:
                return builder.call(function, [table, choices])

            return lanes, look_up
    return ENTRIES, _chosen


def _chosen(builder: Any, table: Any, choices: Any) -> Any:
    """The same on any processor: of all entries the one that is asked for."""
    found = ir.Constant(table.type, None)
    for c in range(ENTRIES):
        hit = builder.icmp_unsigned("==", choices, ir.Constant(choices.type, [c] * ENTRIES))
        entry = builder.shuffle_vector(table, table, ir.Constant(vector(I32, ENTRIES), [c] * ENTRIES))
        found = builder.select(hit, entry, found)
    return found


def _adder(words: int) -> Any:
    """The inner loop of an event-driven connection over ``words`` words of columns, sums held in registers.

    ``add(choices, plane, word, order, tables, bounds, row, first, last, unit, factor, base, fresh, start, out,
    target)``: for chunks ``first … last − 1`` of the groups in which a row has spikes, out[target, j] = base + start +
    factor · Σ (unit · whole + rest) for the columns j from 64·``word`` on, where whole and rest are the entries of the
    group's tables (:func:`tabulate`) that ``choices uint8 [planes, words, groups, 64]`` names; where the unit is
    1, all rests are 0. The base is base[j] if it is ``fresh``, else out[target, j].
    A chunk's sums must fit int8, and unit · whole + rest of all chunks int16.
    """

    @instruction
    def add(
        typingctx: Any,
        choices: Any,
        plane: Any,
        word: Any,
        order: Any,
        tables: Any,
        bounds: Any,
        row: Any,
        first: Any,
        last: Any,
        unit: Any,
        factor: Any,
        base: Any,
        fresh: Any,
        start: Any,
        out: Any,
        target: Any,
    ) -> Any:
        place, value = types.intp, types.int32
        lists = (order, tables, bounds, place, place, place)
        arguments = (choices, place, place, *lists, place, value, base, types.boolean, value, out, place)
        return types.void(*arguments), _generate_adder(words)

    return add


def _generate_adder(words: int) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = builder.icmp_signed("==", args[9], ir.Constant(I64, 1))
        with builder.if_else(whole) as (then, otherwise):
            for tables_each, branch in ((1, then), (2, otherwise)):
                with branch:
                    _add_looked_up(context, builder, signature, args, words, tables_each)
        return context.get_dummy_value()

    return generate


def _add_looked_up(context: Any, builder: Any, signature: Any, args: Any, words: int, tables_each: int) -> None:
    (_, plane, word, _, _, _, row, first, last, unit, factor, _, fresh, start_from, _, target_row) = args
    choices, order, tables, bounds, out = (
        rows_from(context, builder, signature.args[i], args[i], at)
        for i, at in ((0, plane), (3, row), (4, row), (5, row), (14, target_row))
    )
    base = make_array(signature.args[11])(context, builder, args[11]).data
    base = builder.select(fresh, base, out)
    lanes, look_up = byte_shuffle(context, builder.module)
    narrow_kind, wide_kind = vector(I8, lanes), vector(I16, lanes)
    count, sums_kind = words * LANES // lanes, vector(I32, lanes)

    def number(value: int) -> Any:
        return ir.Constant(I64, value)

    shape = make_array(signature.args[0])(context, builder, args[0]).shape
    stride = builder.mul(cgutils.unpack_tuple(builder, shape)[2], number(LANES))
    columns = [builder.gep(choices, [builder.mul(builder.add(word, number(w)), stride)]) for w in range(words)]
    narrow = [[cgutils.alloca_once(builder, narrow_kind) for _ in range(count)] for _ in range(tables_each)]
    wide = [cgutils.alloca_once(builder, wide_kind) for _ in range(count)]
    for place in wide:
        builder.store(ir.Constant(wide_kind, None), place)
    unit = splat(builder, builder.trunc(unit, I16), I16, lanes)
    with cgutils.for_range_slice(builder, first, last, number(1), I64) as (chunk, _):
        ends = [builder.load(builder.gep(bounds, [at])) for at in (chunk, builder.add(chunk, number(1)))]
        start, stop = (builder.sext(end, I64) for end in ends)
        for place in (place for half in narrow for place in half):
            builder.store(ir.Constant(narrow_kind, None), place)
        with cgutils.for_range_slice(builder, start, stop, number(1), I64) as (event, _):
            group = builder.mul(builder.sext(builder.load(builder.gep(order, [event])), I64), number(LANES))
            own = []
            for half in range(tables_each):
                place = builder.add(builder.mul(event, number(2 * ENTRIES)), number(ENTRIES * half))
                table = builder.load(at(builder, tables, place, vector(I8, ENTRIES)), align=1)
                repeated = ir.Constant(vector(I32, lanes), [i % ENTRIES for i in range(lanes)])
                own.append(builder.shuffle_vector(table, table, repeated))
            for i in range(count):
                column, within = divmod(i * lanes, LANES)
                source = at(builder, columns[column], builder.add(group, number(within)), narrow_kind)
                chosen = builder.load(source, align=1)
                for table, sums in zip(own, narrow, strict=True):
                    total = builder.add(builder.load(sums[i]), look_up(builder, table, chosen))
                    builder.store(total, sums[i])
        for i, place in enumerate(wide):
            total = builder.mul(builder.sext(builder.load(narrow[0][i]), wide_kind), unit)
            for sums in narrow[1:]:
                total = builder.add(total, builder.sext(builder.load(sums[i]), wide_kind))
            builder.store(builder.add(builder.load(place), total), place)
    factor, first_term = (splat(builder, value, I32, lanes) for value in (factor, start_from))
    for i, total in enumerate(wide):
        column = builder.add(builder.mul(word, number(LANES)), number(i * lanes))
        source, target = (at(builder, data, column, sums_kind) for data in (base, out))
        product = builder.mul(builder.sext(builder.load(total), sums_kind), factor)
        total = builder.add(builder.load(source, align=4), first_term)
        builder.store(builder.add(total, product), target, align=4)


add_three, add_one = _adder(3), _adder(1)
