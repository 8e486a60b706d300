"""Arguments that many calls share, unpacked only once.

Numba inspects every array that a call receives. With a hundred arrays and a short sentence, this takes as long as the
smaller stages of the computation. A :class:`Bound` is unpacked once, and each call passes only its address.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import NativeValue, models, register_model, typeof_impl, unbox
from numba.np.arrayobj import make_array, populate_array

from .lanes import I64, instruction


class Bound:
    """A nested tuple of contiguous arrays and numbers, flattened to 64-bit words that kernels read (:func:`opened`).

    Attributes:
        value: the tuple, which stays alive as long as this object.
        address: memory address of the first word.

    Raises:
        ValueError: an array is not contiguous.
    """

    def __init__(self, value: Any):
        self.value = value
        self._words = np.fromiter(_words(value), np.int64)
        self.address: int = self._words.ctypes.data

    def __reduce__(self) -> tuple[Any, ...]:  # a copy has other addresses
        return Bound, (self.value,)


def _words(value: Any) -> Iterator[int]:
    """Yield the words of a value: of an array, its data pointer and sizes; of a number, its bits."""
    if isinstance(value, tuple):
        for part in value:
            yield from _words(part)
    elif isinstance(value, np.ndarray):
        if not value.flags.c_contiguous:
            raise ValueError("an array that is not contiguous")
        yield value.__array_interface__["data"][0]
        yield from value.shape
    elif isinstance(value, (float, np.floating)):
        yield struct.unpack("q", struct.pack("d", value))[0]
    elif value is not None:
        yield int(value)


class BoundType(types.Type):
    """Numba's type of a :class:`Bound`. ``held`` is the type of its tuple."""

    def __init__(self, held: Any):
        self.held = held
        super().__init__(name=f"Bound({held})")


@register_model(BoundType)
class _Address(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any):
        super().__init__(manager, kind, I64)


@typeof_impl.register(Bound)
def _type_of(bound: Bound, context: Any) -> BoundType:
    return BoundType(typeof_impl(bound.value, context))


@unbox(BoundType)
def _address(kind: Any, source: Any, tools: Any) -> NativeValue:
    number = tools.pyapi.object_getattr_string(source, "address")
    address = tools.pyapi.long_as_longlong(number)
    tools.pyapi.decref(number)
    return NativeValue(address)


@instruction
def opened(typingctx: Any, bound: Any) -> Any:
    """Return the tuple that a :class:`Bound` holds."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = builder.inttoptr(args[0], I64.as_pointer())
        number = count()

        def word() -> Any:
            return builder.load(builder.gep(start, [ir.Constant(I64, next(number))]))

        def value_of(kind: Any) -> Any:
            if isinstance(kind, types.BaseTuple):
                parts: Any = kind
                return context.make_tuple(builder, kind, [value_of(part) for part in parts])
            if isinstance(kind, types.Array):
                return _array(context, builder, kind, word)
            if isinstance(kind, types.NoneType):
                return context.get_dummy_value()
            if isinstance(kind, types.Float):
                return context.cast(builder, builder.bitcast(word(), ir.DoubleType()), types.float64, kind)
            return context.cast(builder, word(), types.int64, kind)

        return value_of(bound.held)

    return bound.held(bound), generate


def _array(context: Any, builder: Any, kind: Any, word: Any) -> Any:
    """Build a contiguous array from the next words, its data pointer and sizes. It does not own its data."""
    view = make_array(kind)(context, builder)
    data = builder.inttoptr(word(), context.get_data_type(kind.dtype).as_pointer())
    shape = [word() for _ in range(kind.ndim)]
    size = ir.Constant(I64, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    strides = [size]
    for length in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], length))
    populate_array(view, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
    return view._getvalue()
