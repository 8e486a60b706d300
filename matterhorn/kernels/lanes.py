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


@instruction
def spiking(typingctx: Any, slots: Any, start: Any) -> Any:
    """Which of the 32 slots (uint8, contiguous) from ``start`` are spikes: a word with a bit for each."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), _vector(_I8, SCAN).as_pointer())
        quiet = _splat(builder, ir.Constant(_I8, -1), _I8, SCAN)
        mask = builder.icmp_unsigned("!=", builder.load(place, align=1), quiet)
        return builder.zext(builder.bitcast(mask, ir.IntType(SCAN)), _I64)

    return types.uint64(slots, types.intp), generate


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
