"""What the cells of a chip really hold: one draw per chip for writing, sticking, drifting; then a function of time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .correction import Correction
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


@dataclass(frozen=True, eq=False)
class Streams:
    """Each part draws from a stream of its own, so switching one off leaves the others as they were."""

    programming: torch.Generator
    drift: torch.Generator
    stuck: torch.Generator

    @classmethod
    def of(cls, generator: torch.Generator) -> Streams:
        """Branches of one generator."""
        return cls(*(_branch(generator) for _ in range(3)))


def write(
    target: Tensor,
    formed: Tensor,
    device: Device,
    streams: Streams,
    stuck: tuple[Tensor, Tensor] | None = None,
    correction: Correction | None = None,
) -> Cells:
    """Draw a chip; cells that were never ``formed`` stay at 0 S.

    Args:
        stuck: cells stuck low and high where they are known already (:func:`stuck_cells`), else they are drawn.
        correction: how often what is off is written again.
    """
    written = target
    if device.programming is not None:
        spread = device.programming.spread(target, device.high) * formed
        written = _once(target, spread, streams.programming)
        if correction is not None and correction.verify_writes:
            written = _verified(written, target, spread, device, streams.programming, correction)
    exponent = torch.zeros(()).expand(target.shape)
    if device.drift is not None:
        share = target / device.high
        noise = torch.randn(target.shape, generator=streams.drift, dtype=target.dtype)
        exponent = (device.drift.exponent(share) + device.drift.exponent_spread(share) * noise).abs() * formed
    if device.stuck is not None:
        low, high = stuck_cells(formed, device, streams) if stuck is None else stuck
        written = written.masked_fill(low, device.low).masked_fill(high, device.high)
        exponent = exponent.masked_fill(low | high, 0)
    return Cells(target, written, exponent)


def stuck_cells(formed: Tensor, device: Device, streams: Streams) -> tuple[Tensor, Tensor]:
    """Which cells are stuck at the lowest and at the highest conductance, like ``formed``; once per stream."""
    if device.stuck is None:
        return torch.zeros_like(formed), torch.zeros_like(formed)
    draw = torch.rand(formed.shape, generator=streams.stuck, dtype=torch.float32)
    return formed & (draw < device.stuck.low.si), formed & (draw >= 1 - device.stuck.high.si)


def _once(target: Tensor, spread: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(target.shape, generator=generator, dtype=target.dtype)
    return (target + spread * noise).clamp(min=0)


def _verified(
    written: Tensor, target: Tensor, spread: Tensor, device: Device, generator: torch.Generator, how: Correction
) -> Tensor:
    """Write again what a read, itself noisy, finds off by more than the tolerance."""
    written, limit = written.clone(), how.tolerance * (device.high - device.low)
    relative = device.read.relative.si if device.read is not None else 0.0
    for _ in range(how.verify_writes):
        noise = torch.randn(target.shape, generator=generator, dtype=target.dtype)
        off = (written * (1 + relative * noise) - target).abs() > limit
        written[off] = _once(target[off], spread[off], generator)
    return written


def held(cells: Cells, device: Device, seconds: float) -> Tensor:
    """Conductances ``seconds`` after writing: G · (t / start)^-ν once t > start."""
    if device.drift is None or seconds <= device.drift.start.si:
        return cells.written
    return cells.written * (seconds / device.drift.start.si) ** -cells.exponent


def _branch(generator: torch.Generator) -> torch.Generator:
    seed = int(torch.randint(2**62, (), generator=generator, dtype=torch.int64))
    return torch.Generator().manual_seed(seed)
