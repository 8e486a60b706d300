"""Read-out by a falling ramp: potentials become the counts of a converter, or directly the next spikes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..coding import Code, encode
from ..errors import InputError
from .circuit import Conditions


@dataclass(frozen=True, eq=False)
class Ramp:
    """A threshold that falls by one level of the next code per slot.

    Attributes:
        thresholds: potentials ``[out or 1, T]``, rising. A neuron that reaches ``thresholds[:, l - 1]`` has level l or
            more. The ramp passes this threshold at the end of slot T − l.
        code: code of the population that fires.
    """

    thresholds: NDArray[np.float64]
    code: Code

    def __post_init__(self) -> None:
        shape = self.thresholds.shape
        if len(shape) != 2 or shape[1] != self.code.top:
            cure = f"give [out or 1, {self.code.top}]"
            raise InputError(f"thresholds {list(shape)}", field="thresholds", cure=cure)
        if bool((np.diff(self.thresholds) < 0).any()):
            raise InputError("a ramp that does not fall", field="thresholds", cure="let them rise with the level")

    @classmethod
    def linear(cls, scale: ArrayLike, shift: ArrayLike, code: Code) -> Ramp:
        """Make a ramp with thresholds halfway between the levels ``scale · potential + shift``.

        ``scale`` > 0 and ``shift`` are scalars or ``[out]``.
        """
        levels = np.arange(1, code.top + 1) - 0.5
        return cls((levels - np.reshape(shift, (-1, 1))) / np.reshape(scale, (-1, 1)), code)

    @property
    def fall(self) -> NDArray[np.float64]:
        """Mean fall per slot, as a potential, ``[out or 1]``; 0 if there is only one threshold."""
        fall: NDArray[np.float64] = self.thresholds[:, -1] - self.thresholds[:, 0]
        return fall / max(self.code.top - 1, 1)

    @property
    def corners(self) -> NDArray[np.float64]:
        """The ramp at its beginning and at the end of each slot except the last, ``[out or 1, T + 1]``.

        It is straight in between. It begins one mean fall above the highest threshold.
        """
        falling = self.thresholds[:, ::-1]
        return np.hstack([falling[:, :1] + self.fall[:, None], falling])


def next_slots(
    charges: NDArray[np.float64],
    ramp: Ramp,
    droop: float,
    offset: NDArray[np.float64] | float = 0.0,
    late: NDArray[np.float64] | None = None,
) -> NDArray[np.uint8]:
    """Compute the slots in which neurons fire, or ``SILENT``. ``[..., out] → uint8 [..., out]``.

    A neuron fires in the first slot by whose end it has met the threshold, even if it leaks below it later. A neuron
    that never meets it fires in the last slot (level 0). It is enough to compare at the corners of the ramp. Between
    two corners, a leaking charge cannot meet a ramp that it meets at neither of them: the curve of a positive charge is
    convex, and a negative charge rises while the ramp falls.

    Args:
        charges: potentials on the integrators when the ramp begins.
        ramp: the threshold.
        droop: slot over leak time constant. Charge decays while the ramp falls.
        offset: offset of the comparators as a potential, ``[..., out]``. It lies behind the capacitor and does not
            decay.
        late: delay with which each output is recorded, in slots, ``[..., out]``. What this means as a potential depends
            on the slope of the ramp at that point.
    """
    corners, top = ramp.corners, ramp.code.top
    margins = np.stack([charges * math.exp(-droop * at) + offset - corners[:, at] for at in range(top + 1)])
    met = margins >= 0
    first, ever = met.argmax(0), met.any(0)
    slots = first - 1
    if late is not None:
        before, then = (np.take_along_axis(margins, at[None], 0)[0] for at in (np.maximum(first - 1, 0), first))
        share = np.divide(then, then - before, out=np.zeros_like(then), where=first > 0)
        slots = np.ceil(first - share + late).astype(np.int64) - 1
    return encode(top - np.where(ever, slots.clip(0, top), top), ramp.code)


def counted(charges: NDArray[np.float64], offset: NDArray[np.float64], given: Conditions) -> NDArray[np.float64]:
    """Convert potentials to counts of the time-to-digital converter: whole numbers −half … half − 1, like ``charges``.

    Count m means half − m clocks. The result is the first count, i.e. the largest one, at whose end the remaining
    charge plus the comparator's ``offset`` reaches m − ½ counts. If it is not the largest of all counts, a leaking
    charge meets the ramp exactly once: the curve of a positive charge is convex, and a negative charge rises while the
    ramp falls. Bisection then finds the count, beginning with the most significant bit.
    """
    held, beside = charges / given.per_count, offset / given.per_count
    if given.count_droop == 0:
        return np.clip(np.rint(held + beside), -given.half, given.half - 1)

    def reached(count: NDArray[np.float64]) -> NDArray[np.bool_]:
        return held * np.exp((count - given.half) * given.count_droop) + beside >= count - 0.5

    first = np.full(held.shape, given.half - 1.0)
    count, bit = np.full(held.shape, -float(given.half)), given.half
    while bit >= 1:
        count += bit * reached(count + bit)
        bit //= 2
    return np.where(reached(first), first, count)
