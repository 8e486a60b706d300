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

    Attributes:
        thresholds: potentials ``[out or 1, T]``, rising: a neuron that reaches ``thresholds[:, l - 1]`` has level l or
            more. The ramp passes that one at the end of slot T − l.
        code: of the population that fires.
    """

    thresholds: Tensor
    code: Code

    def __post_init__(self) -> None:
        if self.thresholds.dim() != 2 or self.thresholds.shape[1] != self.code.top:
            cure = f"give [out or 1, {self.code.top}]"
            raise InputError(f"thresholds {list(self.thresholds.shape)}", field="thresholds", cure=cure)
        if bool((self.thresholds.diff() < 0).any()):
            raise InputError("a ramp that does not fall", field="thresholds", cure="let them rise with the level")

    @classmethod
    def linear(cls, scale: Tensor, shift: Tensor, code: Code) -> Ramp:
        """Thresholds halfway between levels of ``scale · potential + shift``; scalars or ``[out]``, scale > 0."""
        levels = torch.arange(1, code.top + 1) - 0.5
        return cls((levels - shift.reshape(-1, 1)) / scale.reshape(-1, 1), code)

    @property
    def fall(self) -> Tensor:
        """Mean fall per slot, as a potential ``[out or 1]``; 0 where there is but one threshold."""
        return (self.thresholds[:, -1] - self.thresholds[:, 0]) / max(self.code.top - 1, 1)


def next_slots(potentials: Tensor, ramp: Ramp, droop: float) -> Tensor:
    """Slots in which neurons fire, or ``SILENT``. ``[..., out] → uint8 [..., out]``.

    What never meets the threshold fires in the last slot (level 0). ``droop`` is slot over leak time constant: the held
    potential shrinks while the ramp falls.
    """
    slots = torch.zeros(potentials.shape, dtype=torch.uint8)
    for slot in range(ramp.code.top):
        held = potentials * math.exp(-droop * (slot + 1)) if droop else potentials
        slots += held < ramp.thresholds[:, ramp.code.top - 1 - slot]
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
