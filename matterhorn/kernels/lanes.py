"""Vector instructions that loops do not reach: built in LLVM's own language, so any processor runs them."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

instruction: Any = intrinsic

LANES = 64
"""Neurons in a word of packed weights."""

SCAN = 32
"""Neurons that :func:`spiking` looks at in one go."""

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def _vector(kind: ir.Type, lanes: int = LANES) -> ir.Type:
    return ir.VectorType(kind, lanes)


def _splat(builder: Any, value: Any, kind: ir.Type, lanes: int = LANES) -> Any:
    first = builder.insert_element(ir.Constant(_vector(kind, lanes), ir.Undefined), value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, first, ir.Constant(_vector(_I32, lanes), [0] * lanes))


@instruction
def lowest_bit(typingctx: Any, word: Any) -> Any:
    """Place of the lowest bit that is set; 64 for none. ``uint64 → int64``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


def _scanner(lanes: int, quiet: int) -> Any:
    """A look at ``lanes`` integers at once, of 8 or 16 bits and contiguous: which of them are not ``quiet``."""

    @instruction
    def scan(typingctx: Any, values: Any, start: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.VectorType(ir.IntType(values.dtype.bitwidth), lanes)
            data = make_array(signature.args[0])(context, builder, args[0]).data
            found = builder.load(builder.bitcast(builder.gep(data, [args[1]]), kind.as_pointer()), align=1)
            mask = builder.icmp_unsigned("!=", found, ir.Constant(kind, [quiet] * lanes))
            word = builder.bitcast(mask, ir.IntType(lanes))
            return word if lanes == LANES else builder.zext(word, _I64)

        return types.uint64(values, types.intp), generate

    return scan


spiking = _scanner(SCAN, -1)
"""``spiking(slots, start)``: which of the 32 slots (uint8) from ``start`` are spikes: a word with a bit for each."""

driven = _scanner(LANES, 0)
"""``driven(kappa, start)``: which of the 64 κ (int8 or int16) from ``start`` are not 0: a word with a bit for each."""


def _adder(words: int) -> Any:
    """The inner loop of an event-driven connection over ``words`` words of columns, sums held in registers.

    ``add(bits, word, order, kappa, bounds, first, last, coefficient, base, start, out)``: for chunks ``first …
    last − 1`` of a window's events, out[j] = base[j] + start + coefficient · Σ κ over events whose bit j is set, for
    the columns from 64·``word`` on. ``base`` may be ``out``.
    Chunks have Σ|κ| ≤ 127, so a chunk's sum fits int8; at most 256 chunks, so the whole sum fits int16.
    """

    @instruction
    def add(
        typingctx: Any,
        bits: Any,
        word: Any,
        order: Any,
        kappa: Any,
        bounds: Any,
        first: Any,
        last: Any,
        coefficient: Any,
        base: Any,
        start: Any,
        out: Any,
    ) -> Any:
        place, value = types.intp, types.int32
        arguments = (bits, place, order, kappa, bounds, place, place, value, base, value, out)
        return types.void(*arguments), _generate_adder(words)

    return add


def _generate_adder(words: int) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        arrays = {i: make_array(signature.args[i])(context, builder, args[i]) for i in (0, 2, 3, 4, 8, 10)}
        bits, order, kappa, bounds, base, out = (arrays[i].data for i in (0, 2, 3, 4, 8, 10))
        stride = cgutils.unpack_tuple(builder, arrays[0].shape)[1]
        word, first, last, coefficient = args[1], args[5], args[6], args[7]
        one, silence = ir.Constant(_I64, 1), ir.Constant(_vector(_I8), None)
        narrow = [cgutils.alloca_once(builder, _vector(_I8)) for _ in range(words)]
        wide = [cgutils.alloca_once(builder, _vector(_I16)) for _ in range(words)]
        for place in wide:
            builder.store(ir.Constant(_vector(_I16), None), place)
        with cgutils.for_range_slice(builder, first, last, one, _I64) as (chunk, _):
            ends = [builder.load(builder.gep(bounds, [at])) for at in (chunk, builder.add(chunk, one))]
            start, stop = (builder.sext(end, _I64) for end in ends)
            for place in narrow:
                builder.store(silence, place)
            with cgutils.for_range_slice(builder, start, stop, one, _I64) as (event, _):
                value = _splat(builder, builder.load(builder.gep(kappa, [event])), _I8)
                row = builder.sext(builder.load(builder.gep(order, [event])), _I64)
                packed_row = builder.add(builder.mul(row, stride), word)
                for i, place in enumerate(narrow):
                    packed = builder.load(builder.gep(bits, [builder.add(packed_row, ir.Constant(_I64, i))]))
                    chosen = builder.select(builder.bitcast(packed, _vector(ir.IntType(1))), value, silence)
                    builder.store(builder.add(builder.load(place), chosen), place)
            for place, total in zip(narrow, wide, strict=True):
                builder.store(builder.add(builder.load(total), builder.sext(builder.load(place), _vector(_I16))), total)
        factor, first_term = _splat(builder, coefficient, _I32), _splat(builder, args[9], _I32)
        for i, total in enumerate(wide):
            column = builder.mul(builder.add(word, ir.Constant(_I64, i)), ir.Constant(_I64, LANES))
            source, target = (
                builder.bitcast(builder.gep(array, [column]), _vector(_I32).as_pointer()) for array in (base, out)
            )
            product = builder.mul(builder.sext(builder.load(total), _vector(_I32)), factor)
            start_from = builder.add(builder.load(source, align=4), first_term)
            builder.store(builder.add(start_from, product), target, align=4)
        return context.get_dummy_value()

    return generate


add_six, add_two, add_one = _adder(6), _adder(2), _adder(1)


@instruction
def reached(typingctx: Any, potentials: Any, thresholds: Any, column: Any, out: Any, place: Any) -> Any:
    """How many thresholds 64 potentials reach, in one go.

    ``potentials int32``, from its first element on; ``thresholds int16`` or ``int32 [T, n]``, from ``column`` on;
    ``out uint8``, from ``place`` on. All contiguous. int16 thresholds lie within ±32766, so potentials may saturate.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        arrays = [make_array(signature.args[i])(context, builder, args[i]) for i in (0, 1, 3)]
        own, table, out = (array.data for array in arrays)
        count, stride = cgutils.unpack_tuple(builder, arrays[1].shape)
        kind = _I16 if thresholds.dtype == types.int16 else _I32
        values = builder.load(builder.bitcast(own, _vector(_I32).as_pointer()), align=4)
        if kind is _I16:
            for limit, worse in ((-(2**15), "<"), (2**15 - 1, ">")):
                bound = ir.Constant(_vector(_I32), [limit] * LANES)
                values = builder.select(builder.icmp_signed(worse, values, bound), bound, values)
            values = builder.trunc(values, _vector(_I16))
        total = cgutils.alloca_once(builder, _vector(_I8))
        builder.store(ir.Constant(_vector(_I8), None), total)
        one = ir.Constant(_I64, 1)
        with cgutils.for_range_slice(builder, ir.Constant(_I64, 0), count, one, _I64) as (t, _):
            row = builder.gep(table, [builder.add(builder.mul(t, stride), args[2])])
            limits = builder.load(builder.bitcast(row, _vector(kind).as_pointer()), align=kind.width // 8)
            hit = builder.zext(builder.icmp_signed(">=", values, limits), _vector(_I8))
            builder.store(builder.add(builder.load(total), hit), total)
        target = builder.bitcast(builder.gep(out, [args[4]]), _vector(_I8).as_pointer())
        builder.store(builder.load(total), target, align=1)
        return context.get_dummy_value()

    return types.void(potentials, thresholds, types.intp, out, types.intp), generate


EVENTS = 4
"""Events that :func:`add_rows` takes at a time."""

_SUMS = ir.VectorType(ir.FloatType(), LANES)
_ONCE = ("contract",)
"""A product and the sum after it may be rounded once."""


@instruction
def add_rows(typingctx: Any, matrix: Any, order: Any, kept: Any, first: Any, last: Any, out: Any, start: Any) -> Any:
    """``out[start + j] = Σ_e kept[e] · matrix[order[e], j]`` over events ``first … last − 1``, for 64 columns j.

    Their number is a multiple of :data:`EVENTS`. ``matrix float32 [rows, 64]``, ``order uint16``, ``kept`` and ``out
    float32``, all contiguous. Two sums run side by side, so that additions need not wait for each other.
    """
    place = types.intp

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, numbers, lengths, target = (
            make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 1, 2, 5)
        )
        sums = [cgutils.alloca_once(builder, _SUMS) for _ in range(2)]
        for total in sums:
            builder.store(ir.Constant(_SUMS, None), total)
        with cgutils.for_range_slice(builder, args[3], args[4], ir.Constant(_I64, EVENTS), _I64) as (at, _):
            for i in range(EVENTS):
                event, total = builder.add(at, ir.Constant(_I64, i)), sums[i % 2]
                row = builder.zext(builder.load(builder.gep(numbers, [event])), _I64)
                source = builder.gep(rows, [builder.mul(row, ir.Constant(_I64, LANES))])
                values = builder.load(builder.bitcast(source, _SUMS.as_pointer()), align=4)
                length = _splat(builder, builder.load(builder.gep(lengths, [event])), ir.FloatType())
                product = builder.fmul(values, length, flags=_ONCE)
                builder.store(builder.fadd(builder.load(total), product, flags=_ONCE), total)
        both = builder.fadd(*(builder.load(total) for total in sums))
        out_place = builder.bitcast(builder.gep(target, [args[6]]), _SUMS.as_pointer())
        builder.store(both, out_place, align=4)
        return context.get_dummy_value()

    return types.void(matrix, order, kept, place, place, out, place), generate
