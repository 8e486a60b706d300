"""Actual properties of cells and neurons.

Writing, stuck cells and drift are drawn once per chip. From then on, cells are a function of time.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .circuit import Circuit
from .correction import AS_WRITTEN, Correction
from .device import Device
from .mapping import Layout, difference, digit_base, pair_conductances, split_digits

Stuck = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Which cells are stuck at the lowest and which at the highest conductance."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells of a connection, float32 ``[slices, tiles, banks, rows, columns]``, in siemens.

    Attributes:
        target: conductances that should be written.
        written: conductances right after writing.
        exponent: drift exponent ν of each cell (0 for stuck and unformed cells).
    """

    target: NDArray[np.float32]
    written: NDArray[np.float32]
    exponent: NDArray[np.float32]

    def held(self, device: Device, seconds: float) -> NDArray[np.float32]:
        """Return the conductances ``seconds`` after writing: G · (t / start)^-ν once t > start."""
        if device.drift is None or seconds <= device.drift.start.si:
            return self.written
        return self.written * (seconds / device.drift.start.si) ** -self.exponent


def check_time(seconds: float) -> None:
    """Refuse what is no time since programming: infinity, NaN, less than 0."""
    if not 0 <= seconds < math.inf:
        raise InputError(f"{seconds} s", field="seconds", cure="give a finite time of 0 s or more")


@dataclass(frozen=True, eq=False)
class Neurons:
    """Neurons of a connection, ``[slices, tiles, out]``: gain by capacitor mismatch, comparator offset in volts."""

    gain: NDArray[np.float64]
    offset: NDArray[np.float64]


Streams = dict[str, np.random.Generator]
"""Random streams by part. Each part has its own, so switching one off does not change the others."""


def streams_of(chip: str) -> Streams:
    """Return the random streams of the chip or connection that ``chip`` names."""
    return {part: stream(f"{chip}:{part}") for part in ("programming", "drift", "stuck", "neurons")}


def stream(name: str) -> np.random.Generator:
    """Return a random generator that depends only on a name."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(name.encode()).digest(), "big")))


def write(
    target: NDArray[np.float32],
    formed: NDArray[np.bool_],
    device: Device,
    streams: Streams,
    stuck: Stuck,
    correction: Correction = AS_WRITTEN,
) -> Cells:
    """Draw the cells of a chip. Cells that were never ``formed`` stay at 0 S.

    Args:
        stuck: result of :func:`stuck_cells`.
        correction: how often inaccurate cells are rewritten.
    """
    written, (low, high) = target, stuck
    if device.programming is not None:
        spread = device.programming.spread(target, device.high) * formed
        written = _once(target, spread, streams["programming"])
        limit = correction.tolerance * (device.high - device.low)
        for _ in range(correction.verify_writes):  # cells that a (noisy) read finds off target are rewritten
            seen = written
            if device.read is not None:
                noise = streams["programming"].standard_normal(target.shape, dtype=np.float32)
                seen = written * (1 + device.read.spread(written / device.high, 0.0) * noise)
            off = np.abs(seen - target) > limit
            written[off] = _once(target[off], spread[off], streams["programming"])
    exponent = np.broadcast_to(np.float32(0), target.shape)
    if device.drift is not None:
        share = target / device.high
        noise = streams["drift"].standard_normal(target.shape, dtype=np.float32)
        exponent = np.abs(device.drift.exponent(share) + device.drift.exponent_spread(share) * noise)
        exponent = exponent * (formed & ~low & ~high)
    if device.stuck is not None:
        written = np.where(low, np.float32(device.low), np.where(high, np.float32(device.high), written))
    return Cells(target, written, exponent)


def stuck_cells(formed: NDArray[np.bool_], device: Device, streams: Streams) -> Stuck:
    """Draw which cells are stuck at the lowest and at the highest conductance, shaped like ``formed``; once per
    stream.
    """
    if device.stuck is None:
        return np.zeros_like(formed), np.zeros_like(formed)
    draw = streams["stuck"].random(formed.shape, dtype=np.float32)
    return formed & (draw < device.stuck.low.si), formed & (draw >= 1 - device.stuck.high.si)


def _once(target: NDArray[np.float32], spread: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float32]:
    noisy = target + spread * rng.standard_normal(target.shape, dtype=np.float32)
    return np.maximum(noisy, 0, dtype=np.float32)


def draw_neurons(layout: Layout, circuit: Circuit, streams: Streams) -> Neurons:
    """Draw the neurons of a chip."""
    shape = (layout.slices, layout.tiles, layout.fan_out)
    capacity, offset = streams["neurons"].standard_normal((2, *shape))
    mismatch = circuit.mismatch.spread.si if circuit.mismatch is not None else 0.0
    volts = circuit.comparator.offset.si if circuit.comparator is not None else 0.0
    return Neurons(gain=1 / (1 + mismatch * capacity), offset=volts * offset)


def weight_deviation(
    weights: NDArray[np.integer], device: Device, rng: np.random.Generator, seconds: float = 0.0
) -> NDArray[np.float32]:
    """Draw a chip and return its written minus intended weights, ``seconds`` after writing: float32 ``[out, in]``.

    Programming noise, stuck cells and drift are drawn as in :class:`~matterhorn.msu.ArrayBank`, for integer weights
    ``[out, in]``, but without arrays around them. For training with a new chip in every pass.
    """
    check_time(seconds)
    slices, base = digit_base(weights, device)
    unit = (device.high - device.low) / (base - 1)
    target = pair_conductances(split_digits(weights, slices, base), unit, device)
    streams, formed = streams_of(str(rng.integers(2**63))), np.ones(target.shape, np.bool_)
    cells = write(target, formed, device, streams, stuck_cells(formed, device, streams))
    off = difference(cells.held(device, seconds) - target)[..., 0] / unit
    return np.tensordot(np.float32(base) ** np.arange(slices, dtype=np.float32), off, axes=1)
