"""What the cells of a chip really hold: one draw per chip for writing, sticking, drifting; then a function of time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .device import Device


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells of a connection, all tensors float32 ``[slices, tiles, banks, rows, columns]``, siemens.

    Attributes:
        target: what they were told to hold. written: what they held right after writing.
        exponent: ν of each cell's drift (0 for stuck and unformed cells).
    """

    target: Tensor
    written: Tensor
    exponent: Tensor


def write(target: Tensor, formed: Tensor, device: Device, generator: torch.Generator) -> Cells:
    """Draw a chip; cells that were never ``formed`` stay at 0 S.

    The parts draw from streams of their own, so switching one off leaves the others as they were.
    """
    streams = [_branch(generator) for _ in range(3)]
    written = target
    if device.programming is not None:
        noise = torch.randn(target.shape, generator=streams[0], dtype=target.dtype)
        spread = device.programming.spread(target, device.high) * formed
        written = (target + spread * noise).clamp(min=0)
    exponent = torch.zeros(()).expand(target.shape)
    if device.drift is not None:
        share = target / device.high
        noise = torch.randn(target.shape, generator=streams[1], dtype=target.dtype)
        exponent = (device.drift.exponent(share) + device.drift.exponent_spread(share) * noise).abs() * formed
    if device.stuck is not None:
        draw = torch.rand(target.shape, generator=streams[2], dtype=target.dtype)
        low = formed & (draw < device.stuck.low.si)
        high = formed & (draw >= 1 - device.stuck.high.si)
        written = written.masked_fill(low, device.low).masked_fill(high, device.high)
        exponent = exponent.masked_fill(low | high, 0)
    return Cells(target, written, exponent)


def held(cells: Cells, device: Device, seconds: float) -> Tensor:
    """Conductances ``seconds`` after writing: G · (t / start)^-ν once t > start."""
    if device.drift is None or seconds <= device.drift.start.si:
        return cells.written
    return cells.written * (seconds / device.drift.start.si) ** -cells.exponent


def _branch(generator: torch.Generator) -> torch.Generator:
    seed = int(torch.randint(2**62, (), generator=generator, dtype=torch.int64))
    return torch.Generator().manual_seed(seed)
