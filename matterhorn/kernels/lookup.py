"""Look up sums: four inputs with spikes add one of 16 sums to a column, which the column's four bits select.

The vector instructions are built in LLVM IR. Only the look-up itself, a byte shuffle, is specific to the processor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.np.arrayobj import make_array

from .lanes import I8, I16, I32, I64, LANES, at, instruction, rows_from, splat, vector

GROUP = 4
"""Inputs that form a group."""

ENTRIES = 2**GROUP
"""Number of sums of a group: one for each subset of its inputs."""

BIAS = 128
"""Added to each sum, which lies within ± 127, so that it becomes an unsigned byte."""

PASS = 2**16 // 2**8
"""Number of unsigned bytes whose sum certainly fits into 16 bits."""

_GROUPS = LANES // GROUP


@instruction
def group_events(
    typingctx: Any,
    slots: Any,
    row: Any,
    start: Any,
    top: Any,
    unit: Any,
    silence: Any,
    most: Any,
    parts: Any,
    totals: Any,
    place: Any,
) -> Any:
    """Compute κ of 64 neurons and find their groups with spikes.

    κ is unit · (T − slot) − silence, and 0 for silence and for slots after T.

    Args:
        slots: uint8 ``[rows, n]``. Neurons ``start`` to ``start + 63`` of a ``row`` are read.
        top, unit: T, and steps of κ per level.
        silence: int16 ``[n]``, silent values in steps of κ.
        most: largest Σ |κ| of a group that takes one table.
        parts: int16 ``[groups, GROUP]``, set to κ.
        totals: int64; Σ κ of the 64 neurons, which must fit into 16 bits, is added at ``place``.

    Returns a word with three bits for each of the 16 groups: bit g says whether group g has a spike, bit 16 + g whether
    its Σ |κ| exceeds ``most``, and bit 32 + g whether it has a spike after slot T.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        silence, parts = (make_array(signature.args[i])(context, builder, args[i]).data for i in (5, 7))
        source = rows_from(context, builder, signature.args[0], args[0], args[1])
        bytes_, numbers, words, wide = vector(I8), vector(I16), vector(I32, 2 * _GROUPS), vector(I64, _GROUPS)
        quiet, none = ir.Constant(bytes_, [-1] * LANES), ir.Constant(numbers, None)
        slot = builder.load(at(builder, source, args[2], bytes_), align=1)
        awake = builder.icmp_unsigned("!=", slot, quiet)
        late = builder.and_(awake, builder.icmp_unsigned(">", slot, splat(builder, builder.trunc(args[3], I8), I8)))
        level = builder.sub(splat(builder, builder.trunc(args[3], I16), I16), builder.zext(slot, numbers))
        kappa = builder.mul(level, splat(builder, builder.trunc(args[4], I16), I16))
        kappa = builder.sub(kappa, builder.load(at(builder, silence, args[2], numbers), align=2))
        kappa = builder.select(builder.xor(awake, late), kappa, none)
        builder.store(kappa, at(builder, parts, args[2], numbers), align=2)
        add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(I16, [numbers]), "llvm.vector.reduce.add.v64i16"
        )
        total = at(builder, make_array(signature.args[8])(context, builder, args[8]).data, args[9], I64)
        own = builder.sext(builder.call(add, [kappa]), I64)
        builder.store(builder.add(builder.load(total), own), total)
        negative = builder.sub(none, kappa)
        size = builder.select(builder.icmp_signed(">", kappa, negative), kappa, negative)
        size = _pairs(builder, _pairs(builder, builder.bitcast(size, words), 16), 32, wide)
        large = builder.icmp_unsigned(">", size, splat(builder, args[6], I64, _GROUPS))
        groups, found = vector(I32, _GROUPS), ir.Constant(I64, 0)
        some = builder.icmp_unsigned("!=", builder.bitcast(slot, groups), builder.bitcast(quiet, groups))
        late = builder.icmp_unsigned(
            "!=", builder.bitcast(builder.sext(late, bytes_), groups), ir.Constant(groups, None)
        )
        for place, mask in ((0, some), (16, large), (32, late)):
            own = builder.zext(builder.bitcast(mask, ir.IntType(_GROUPS)), I64)
            found = builder.or_(found, builder.shl(own, ir.Constant(I64, place)))
        return found

    number = types.intp
    arguments = (slots, number, number, number, number, silence, number, parts, totals, number)
    return types.uint64(*arguments), generate


def _pairs(builder: Any, numbers: Any, bits: int, kind: Any = None) -> Any:
    """Add the lower and upper half of each number; a half has ``bits`` bits. ``kind``: type to read the numbers as."""
    numbers = numbers if kind is None else builder.bitcast(numbers, kind)
    kind = numbers.type
    low = builder.and_(numbers, ir.Constant(kind, [2**bits - 1] * kind.count))
    return builder.add(low, builder.lshr(numbers, ir.Constant(kind, [bits] * kind.count)))


@instruction
def tabulate(typingctx: Any, parts: Any, group: Any, tables: Any, event: Any) -> Any:
    """Make a group's table: the sums of its κ over each subset of its inputs, plus :data:`BIAS`.

    ``parts int16 [groups, GROUP]``, whose Σ |κ| is at most 127 → ``tables uint8 [events, ENTRIES]``. Entry c is the sum
    over the inputs whose bit is set in c.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, target = (make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 2))
        kind = vector(I16, GROUP)
        own = builder.load(at(builder, source, builder.mul(args[1], ir.Constant(I64, GROUP)), kind), align=2)
        own, none = builder.trunc(own, vector(I8, GROUP)), ir.Constant(vector(I8, GROUP), None)
        total = ir.Constant(vector(I8, ENTRIES), [BIAS] * ENTRIES)
        for i in range(GROUP):
            chosen = [i if c >> i & 1 else GROUP for c in range(ENTRIES)]
            total = builder.add(total, builder.shuffle_vector(own, none, ir.Constant(vector(I32, ENTRIES), chosen)))
        place = builder.mul(args[3], ir.Constant(I64, ENTRIES))
        builder.store(total, at(builder, target, place, total.type), align=1)
        return context.get_dummy_value()

    return types.void(parts, types.intp, tables, types.intp), generate


def byte_shuffle(context: Any, module: Any) -> tuple[int, Callable[[Any, Any, Any], Any]]:
    """Return how many bytes this processor looks up at once, and a function ``(builder, table, choices)`` that builds
    the look-up.
    """
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
    """Build the look-up for any processor, which compares the choices with each entry's number."""
    found = ir.Constant(table.type, None)
    for c in range(ENTRIES):
        hit = builder.icmp_unsigned("==", choices, ir.Constant(choices.type, [c] * ENTRIES))
        entry = builder.shuffle_vector(table, table, ir.Constant(vector(I32, ENTRIES), [c] * ENTRIES))
        found = builder.select(hit, entry, found)
    return found


def _adder(words: int) -> Any:
    """Make the inner loop of an event-driven connection, for ``words`` words of columns. Sums are held in registers.

    It is ``add(choices, plane, word, order, tables, first, last, factor, base, fresh, start, out, target)``, and sets
    out[target, j] = begin + start + factor · Σ_e tables[e, choices[plane, word, order[e], j]] for all columns j of its
    words, which begin with ``word``.

    - e runs over the events ``first … last − 1``, at most :data:`PASS`.
    - ``begin`` is base[j] if ``fresh``, else out[target, j].
    - ``choices`` is uint8 ``[planes, words, groups, 64]`` (:class:`.layout.Planes`), ``tables`` is made by
      :func:`tabulate`, ``out`` is int32.
    """

    @instruction
    def add(
        typingctx: Any,
        choices: Any,
        plane: Any,
        word: Any,
        order: Any,
        tables: Any,
        first: Any,
        last: Any,
        factor: Any,
        base: Any,
        fresh: Any,
        start: Any,
        out: Any,
        target: Any,
    ) -> Any:
        place, value = types.intp, types.int32
        events = (order, tables, place, place)
        return types.void(choices, place, place, *events, value, base, types.boolean, value, out, place), generate

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, plane, word, _, _, first, last, factor, _, fresh, start, _, row = args
        choices = rows_from(context, builder, signature.args[0], args[0], plane)
        out = rows_from(context, builder, signature.args[11], args[11], row)
        order, tables, base = (make_array(signature.args[i])(context, builder, args[i]).data for i in (3, 4, 8))
        base = builder.select(fresh, base, out)
        shape = make_array(signature.args[0])(context, builder, args[0]).shape
        stride = builder.mul(cgutils.unpack_tuple(builder, shape)[2], ir.Constant(I64, LANES))
        columns = [
            builder.gep(choices, [builder.mul(builder.add(word, ir.Constant(I64, w)), stride)]) for w in range(words)
        ]
        both, high = _add_looked_up(context, builder, columns, order, tables, first, last)
        lanes = both[0].type.count
        weave = ir.Constant(vector(I32, 2 * lanes), [n for i in range(lanes) for n in (i, lanes + i)])
        sums = vector(I32, 2 * lanes)
        factor, start = (splat(builder, value, I32, 2 * lanes) for value in (factor, start))
        for i, (of_both, odd) in enumerate(zip(both, high, strict=True)):
            even = builder.sub(of_both, builder.shl(odd, ir.Constant(odd.type, [8] * lanes)))
            total = builder.zext(builder.shuffle_vector(even, odd, weave), sums)
            column = builder.add(builder.mul(word, ir.Constant(I64, LANES)), ir.Constant(I64, 2 * lanes * i))
            begin, end = (at(builder, data, column, sums) for data in (base, out))
            total = builder.add(builder.mul(total, factor), builder.add(builder.load(begin, align=4), start))
            builder.store(total, end, align=4)
        return context.get_dummy_value()

    return add


def _add_looked_up(
    context: Any, builder: Any, columns: list[Any], order: Any, tables: Any, first: Any, last: Any
) -> tuple[list[Any], list[Any]]:
    """Look up bytes for all events, and add them up in 16 bits.

    Two neighboring bytes are read as one number of 16 bits. Returns the sums of these numbers (modulo 2¹⁶), and the
    sums of their upper bytes. The sum of the lower bytes is the first minus 256 times the second, modulo 2¹⁶. This is
    exact, since a sum of :data:`PASS` bytes is less than 2¹⁶.
    """
    lanes, look_up = byte_shuffle(context, builder.module)
    bytes_, numbers = vector(I8, lanes), vector(I16, lanes // 2)
    count = len(columns) * LANES // lanes
    both, high = ([cgutils.alloca_once(builder, numbers) for _ in range(count)] for _ in range(2))
    for place in (*both, *high):
        builder.store(ir.Constant(numbers, None), place)
    repeated = ir.Constant(vector(I32, lanes), [i % ENTRIES for i in range(lanes)])
    eight = ir.Constant(numbers, [8] * (lanes // 2))
    with cgutils.for_range_slice(builder, first, last, ir.Constant(I64, 1), I64) as (event, _):
        group = builder.mul(builder.sext(builder.load(builder.gep(order, [event])), I64), ir.Constant(I64, LANES))
        place = builder.mul(event, ir.Constant(I64, ENTRIES))
        table = builder.load(at(builder, tables, place, vector(I8, ENTRIES)), align=1)
        table = builder.shuffle_vector(table, table, repeated)
        for i in range(count):
            column, within = divmod(i * lanes, LANES)
            source = at(builder, columns[column], builder.add(group, ir.Constant(I64, within)), bytes_)
            entries = builder.bitcast(look_up(builder, table, builder.load(source, align=1)), numbers)
            builder.store(builder.add(builder.load(both[i]), entries), both[i])
            builder.store(builder.add(builder.load(high[i]), builder.lshr(entries, eight)), high[i])
    return [builder.load(place) for place in both], [builder.load(place) for place in high]


add_three, add_one = _adder(3), _adder(1)
