"""Read-out: potentials to the next spike by a falling threshold, or to numbers by a time-to-digital converter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..coding import SILENT, Code
from ..coding.spikes import is_silent
from ..errors import InputError


@dataclass(frozen=True, eq=False)
class Ramp:
    """A threshold that falls by one level of the next code per slot.

    Level x of the next population is ``scale · potential + shift``; at the end of slot s the threshold stands at
    T − s − 1/2. ``scale`` (> 0) and ``shift`` are scalars or ``[out]``.
    """

    scale: Tensor
    shift: Tensor
    code: Code

    def __post_init__(self) -> None:
        if bool((self.scale <= 0).any()):
            raise InputError("a ramp that does not fall", field="scale", cure="give scales above 0")

    def threshold(self, slot: int) -> Tensor:
        """Potential that fires in this slot or earlier, before any droop."""
        return (self.code.top - slot - 0.5 - self.shift) / self.scale


def next_slots(potentials: Tensor, ramp: Ramp, droop: float) -> Tensor:
    """Slots in which neurons fire, or ``SILENT``. ``[..., out] → uint8 [..., out]``.

    What never meets the threshold fires in the last slot (level 0). ``droop`` is slot over leak time constant: the held
    potential shrinks while the ramp falls.
    """
    slots = torch.zeros(potentials.shape, dtype=torch.uint8)
    for slot in range(ramp.code.top):
        held = potentials * math.exp(-droop * (slot + 1)) if droop else potentials
        slots += held < ramp.threshold(slot)
    levels = ramp.code.top - slots.to(torch.int16)
    return slots.masked_fill(is_silent(levels, ramp.code), SILENT)


@dataclass(frozen=True)
class TimeToDigital:
    """A counter that runs while a ramp crosses ± full scale: ``counts`` steps, potentials beyond it clip."""

    full_scale: float
    counts: int

    @property
    def step(self) -> float:
        """Potential per count."""
        return 2 * self.full_scale / self.counts

    def __call__(self, potentials: Tensor) -> Tensor:
        """Potentials as the counter tells them, in the same unit."""
        half = self.counts // 2
        return (potentials / self.step).round().clamp(-half, half - 1) * self.step
