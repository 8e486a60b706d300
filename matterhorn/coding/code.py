"""The code of a population: its silent level, the width of its dead zone, and the value that silence is read as."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Array_ = TypeVar("Array_", bound=NDArray[Any])

SILENT = 255
"""Slot number that stands for "no spike in this window"."""

EIGHTHS = 8
"""Steps per level of a silent value, which may be a fraction. With 1/8 level, ``8·|κ| ≤ 127`` still fits int8 at 4
bits.
"""

MAX_BITS = 6
"""Maximum number of bits of a level, and of a stored key or value."""


@dataclass(frozen=True, eq=False)
class Code:
    """Masked time-to-first-spike code (M-TTFS) of one population.

    With T = 2^bits − 1, level q spikes in slot T − q of a window of T + 1 slots. If |q − m| ≤ k, it sends nothing and
    is read as r. Plain TTFS has ``silent=0, dead_zone=0``.

    Args:
        bits: width of a level, 1 … 6.
        silent: silent level m, 0 … T: an integer, or one per neuron ``[neurons]``.
        dead_zone: number k ≥ 0 of levels on either side of m that are silent too.
        silent_value: value r that silence is read as, in eighths of a level. Integers that broadcast to ``silent``.
            They may lie up to one level outside m ± k (exclusive), as the real values that round to a level lie on
            both sides of it. None: the silent level itself.

    Raises:
        InputError: a number is outside these ranges.
    """

    bits: int
    silent: NDArray[np.int16]
    dead_zone: int = 0
    silent_value: NDArray[np.int16] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise InputError(f"{self.bits} bits", field="bits", cure=f"give 1 … {MAX_BITS}")
        silent = _integers(self.silent, "silent")
        low, high = int(silent.min()), int(silent.max())
        if low < 0 or high > self.top:
            raise InputError(f"level {low if low < 0 else high}", field="silent", cure=f"give levels in 0 … {self.top}")
        object.__setattr__(self, "silent", frozen(silent.astype(np.int16, copy=False)))
        if not 0 <= self.dead_zone <= self.top // 2:
            raise InputError(f"k = {self.dead_zone}", field="dead_zone", cure=f"give k in 0 … {self.top // 2}")
        if self.silent_value is not None:
            value = _integers(self.silent_value, "silent_value")
            distance = np.abs(value.astype(np.int64) - EIGHTHS * self.silent)
            if bool((distance >= EIGHTHS * (self.dead_zone + 1)).any()):
                cure = "keep it less than a level from m ± k"
                raise InputError("a value outside the dead zone", field="silent_value", cure=cure)
            object.__setattr__(self, "silent_value", frozen(value.astype(np.int16, copy=False)))

    @classmethod
    def ttfs(cls, bits: int) -> Code:
        """Plain time-to-first-spike: only the lowest level is silent."""
        return cls(bits, np.int16(0))  # type: ignore[arg-type]

    @property
    def top(self) -> int:
        """T, the highest level."""
        return (1 << self.bits) - 1

    @property
    def slots(self) -> int:
        """Slots in a window, T + 1."""
        return self.top + 1

    @property
    def unit(self) -> int:
        """Steps of κ per level: 1, or :data:`EIGHTHS` if a silent value is a fraction."""
        return 1 if self.silent_value is None else EIGHTHS

    @property
    def reference(self) -> NDArray[np.int16]:
        """The silent value in steps of κ, shaped like ``silent``. κ of a spike is measured from here."""
        return self.silent if self.silent_value is None else self.silent_value

    @cached_property
    def reach(self) -> int:
        """Upper bound of |κ|, in steps of κ."""
        return max(self.unit * self.top - int(self.reference.min()), int(self.reference.max()))


def _integers(values: Any, field: str) -> NDArray[np.integer]:
    found = np.asarray(values)
    if found.dtype.kind not in "iu" or found.size == 0:
        raise InputError(f"{found.size} numbers of type {found.dtype}", field=field, cure="give integers")
    return found


def frozen(values: Array_) -> Array_:
    """Return a contiguous array over immutable bytes, which nothing can make writable again.

    An array that already is one is returned as it is, any other is copied. (A read-only view of a writable array would
    not do: it changes with that array.)
    """
    owner: Any = values
    while isinstance(owner, np.ndarray) and not owner.flags.writeable:  # unpickled arrays over bytes are writable
        owner = owner.base
    if isinstance(owner, bytes) and values.flags.c_contiguous and values.flags.aligned:
        return values
    return np.ndarray(values.shape, values.dtype, np.ascontiguousarray(values).tobytes())  # type: ignore[return-value]
