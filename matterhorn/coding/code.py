"""The code of a population: which level is silent, how wide its dead zone is, what silence is read as."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError

SILENT = 255
"""Slot number that stands for "no spike in this window"."""

READ_UNIT = 8
"""Silence may be read as a fraction of a level, in steps of 1/8: then ``8·|κ| ≤ 120`` still fits int8 at 4 bits."""

MAX_BITS = 6


@dataclass(frozen=True, eq=False)
class Code:
    """Masked time-to-first-spike code (M-TTFS) of one population.

    With T = 2^bits − 1, level q spikes in slot T − q of a window of T + 1 slots, unless |q − m| ≤ k: then it
    is silent and read as r. TTFS is ``silent=0, dead_zone=0``.

    Args:
        bits: width of a level, 1 … 6.
        silent: silent level m, an integer tensor, scalar or one per neuron ``[neurons]``, each 0 … T.
        dead_zone: k ≥ 0.
        reads: what silence is read as, in eighths of a level (integer tensor broadcastable to ``silent``); None reads
            the silent level itself.
    """

    bits: int
    silent: Tensor
    dead_zone: int = 0
    reads: Tensor | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise InputError(f"{self.bits} bits", field="bits", cure=f"give 1 … {MAX_BITS}")
        low, high = int(self.silent.min()), int(self.silent.max())
        if low < 0 or high > self.top:
            raise InputError(f"level {low if low < 0 else high}", field="silent", cure=f"give levels in 0 … {self.top}")
        if not 0 <= self.dead_zone <= self.top // 2:
            raise InputError(f"k = {self.dead_zone}", field="dead_zone", cure=f"give k in 0 … {self.top // 2}")
        if self.reads is not None:
            distance = (self.reads - READ_UNIT * self.silent).abs()
            if bool((distance > READ_UNIT * self.dead_zone).any()):
                raise InputError("a reading outside the dead zone", field="reads", cure="keep it within m ± k")

    @classmethod
    def ttfs(cls, bits: int) -> Code:
        """Plain time-to-first-spike: the lowest level is the silent one."""
        return cls(bits, torch.tensor(0))

    def arranged(self, *shape: int) -> Code:
        """The same code for neurons laid out in another shape (e.g. ``heads, 1, size``); one level stays one level."""
        if self.silent.numel() == 1:
            return self
        reads = None if self.reads is None else self.reads.view(shape)
        return Code(self.bits, self.silent.view(shape), self.dead_zone, reads)

    @property
    def top(self) -> int:
        """T, the highest level."""
        return 2**self.bits - 1

    @property
    def slots(self) -> int:
        """Slots in a window, T + 1."""
        return self.top + 1

    @property
    def unit(self) -> int:
        """Kernel steps per level: 1, or :data:`READ_UNIT` where silence is read as a fraction."""
        return 1 if self.reads is None else READ_UNIT

    @property
    def read_level(self) -> Tensor:
        """What silence is read as, in steps of ``1 / unit`` level (int32)."""
        return (self.silent if self.reads is None else self.reads).to(torch.int32)
