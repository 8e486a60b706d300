"""Vector instructions that loops do not reach: built in LLVM's own language, so any processor runs them.

Kernels that use these are cached by their own file's date: after an edit here, delete ``__pycache__``.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

instruction: Any = intrinsic

LANES = 64
"""Neurons whose sums are held in registers together."""

SCAN = 64
"""Rows that :func:`driven` looks at in one go."""

STRIDE = 4
"""Events that :func:`add_rows` takes at a time."""

_I8, _I32, _I64, _REAL = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
_SUMS = ir.VectorType(_REAL, LANES)
_ROUNDED_ONCE = ("contract",)


@instruction
def lowest_bit(typingctx: Any, word: Any) -> Any:
    """Place of the lowest bit that is set; 64 for none. ``uint64 → int64``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@instruction
def bits_set(typingctx: Any, word: Any) -> Any:
    """How many bits are set. ``uint64 → int64``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


@instruction
def driven(typingctx: Any, kappa: Any, start: Any) -> Any:
    """Which of the 64 kernels (int8, contiguous) from ``start`` are not 0: a word with a bit for each."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = make_array(signature.args[0])(context, builder, args[0]).data
        kind = ir.VectorType(_I8, SCAN)
        values = builder.load(builder.bitcast(builder.gep(data, [args[1]]), kind.as_pointer()), align=1)
        return builder.bitcast(builder.icmp_signed("!=", values, ir.Constant(kind, None)), _I64)

    return types.uint64(kappa, types.intp), generate


@instruction
def add_rows(typingctx: Any, matrix: Any, order: Any, kept: Any, first: Any, last: Any, out: Any, start: Any) -> Any:
    """``out[start + j] = Σ_e kept[e] · matrix[order[e], j]`` over events ``first … last − 1``.

    Their number is a multiple of :data:`STRIDE`. ``matrix float32 [rows, 64]``, ``order uint16``, ``kept float32``,
    ``out float32``, all contiguous. Two sums run side by side, so that additions need not wait for each other.
    """
    place = types.intp

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, numbers, lengths, target = (
            make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 1, 2, 5)
        )
        sums = [cgutils.alloca_once(builder, _SUMS) for _ in range(2)]
        for total in sums:
            builder.store(ir.Constant(_SUMS, None), total)
        with cgutils.for_range_slice(builder, args[3], args[4], ir.Constant(_I64, STRIDE), _I64) as (at, _):
            for i in range(STRIDE):
                event, total = builder.add(at, ir.Constant(_I64, i)), sums[i % 2]
                row = builder.zext(builder.load(builder.gep(numbers, [event])), _I64)
                source = builder.gep(rows, [builder.mul(row, ir.Constant(_I64, LANES))])
                values = _load(builder, source)
                length = _splat(builder, builder.load(builder.gep(lengths, [event])))
                product = builder.fmul(values, length, flags=_ROUNDED_ONCE)
                builder.store(builder.fadd(builder.load(total), product, flags=_ROUNDED_ONCE), total)
        both = builder.fadd(*(builder.load(total) for total in sums))
        _store(builder, both, builder.gep(target, [args[6]]))
        return context.get_dummy_value()

    return types.void(matrix, order, kept, place, place, out, place), generate


@instruction
def add_counts(
    typingctx: Any,
    sums: Any,
    place: Any,
    offset: Any,
    counts: Any,
    low: Any,
    high: Any,
    worth: Any,
    total: Any,
    start: Any,
) -> Any:
    """``total[start + j] += worth · clamp(round((sums[place + j] + offset[j]) · counts), low, high)`` for 64 neurons j.

    Arrays float32 and contiguous, ``low`` and ``high`` whole numbers; halves are rounded to even.
    """
    real = types.float32

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        own, shift, summed = (make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 2, 7))
        factor, least, most, value_of_one = (_splat(builder, args[i]) for i in (3, 4, 5, 6))
        value = builder.fadd(_load(builder, builder.gep(own, [args[1]])), _load(builder, shift))
        value = builder.fmul(value, factor)
        value = builder.select(builder.fcmp_ordered("<", value, least), least, value)
        value = builder.select(builder.fcmp_ordered(">", value, most), most, value)
        target = builder.gep(summed, [args[8]])
        product = builder.fmul(_rounded(builder, value), value_of_one, flags=_ROUNDED_ONCE)
        _store(builder, builder.fadd(_load(builder, target), product, flags=_ROUNDED_ONCE), target)
        return context.get_dummy_value()

    return types.void(sums, types.intp, offset, real, real, real, real, total, types.intp), generate


@instruction
def add_sums(typingctx: Any, sums: Any, place: Any, offset: Any, worth: Any, total: Any, start: Any) -> Any:
    """``total[start + j] += worth · (sums[place + j] + offset[j])`` for 64 neurons j; arrays float32 and contiguous."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        own, shift, summed = (make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 2, 4))
        target = builder.gep(summed, [args[5]])
        value = builder.fadd(_load(builder, builder.gep(own, [args[1]])), _load(builder, shift))
        product = builder.fmul(value, _splat(builder, args[3]), flags=_ROUNDED_ONCE)
        _store(builder, builder.fadd(_load(builder, target), product, flags=_ROUNDED_ONCE), target)
        return context.get_dummy_value()

    return types.void(sums, types.intp, offset, types.float32, total, types.intp), generate


@instruction
def to_steps(typingctx: Any, total: Any, start: Any, scale: Any, shift: Any, out: Any, place: Any) -> Any:
    """``out[place + j] = round(shift[j] + scale[j] · total[start + j])`` for 64 neurons j; ``out`` int32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        arrays = (make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 2, 3, 4))
        own, factor, more, answer = arrays
        value = builder.fmul(_load(builder, factor), _load(builder, builder.gep(own, [args[1]])), flags=_ROUNDED_ONCE)
        value = _rounded(builder, builder.fadd(value, _load(builder, more), flags=_ROUNDED_ONCE))
        kind = ir.VectorType(_I32, LANES)
        target = builder.bitcast(builder.gep(answer, [args[5]]), kind.as_pointer())
        builder.store(builder.fptosi(value, kind), target, align=4)
        return context.get_dummy_value()

    return types.void(total, types.intp, scale, shift, out, types.intp), generate


def _rounded(builder: Any, value: Any) -> Any:
    """To whole numbers, halves to even."""
    kind = ir.FunctionType(_SUMS, [_SUMS])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.rint.v{LANES}f32"), [value])


def _load(builder: Any, place: Any) -> Any:
    return builder.load(builder.bitcast(place, _SUMS.as_pointer()), align=4)


def _store(builder: Any, value: Any, place: Any) -> None:
    builder.store(value, builder.bitcast(place, _SUMS.as_pointer()), align=4)


def _splat(builder: Any, value: Any) -> Any:
    first = builder.insert_element(ir.Constant(_SUMS, ir.Undefined), value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))
