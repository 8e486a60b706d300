"""Weights to differential pairs: digits, conductances, and which cell of which array holds what.

A weight w is Σ_s base^s · d_s with digits |d_s| < base; digit d sits in a pair as G⁺ − G⁻ = d · ΔG. A device with L
levels holds digits up to L − 1 (1-bit and ternary weights need one slice); one without levels holds any weight in one
slice. Rows beyond one array go to further arrays (tiles), outputs beyond its bit lines to further arrays too (banks).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from .circuit import Circuit
from .device import Device


@dataclass(frozen=True)
class Layout:
    """Where a weight matrix ``[fan_out, fan_in]`` sits.

    Attributes:
        rows, pairs: word lines and differential pairs of one array.
        slices, base: digits per weight and what a digit counts.
        digit_top: largest digit, which takes the whole conductance range.
    """

    fan_in: int
    fan_out: int
    rows: int
    pairs: int
    slices: int
    base: int
    digit_top: int

    @property
    def tiles(self) -> int:
        """Arrays that share the rows."""
        return -(-self.fan_in // self.rows)

    @property
    def banks(self) -> int:
        """Arrays that share the outputs."""
        return -(-self.fan_out // self.pairs)

    @property
    def arrays(self) -> int:
        """All arrays of the connection."""
        return self.slices * self.tiles * self.banks


def lay_out(weights: Tensor, device: Device, circuit: Circuit) -> Layout:
    """Choose digits and tiles for integer weights ``[fan_out, fan_in]``."""
    slices, base = digit_base(weights, device)
    fan_out, fan_in = weights.shape
    return Layout(fan_in, fan_out, int(circuit.rows.value), circuit.pairs, slices, base, base - 1)


def digit_base(weights: Tensor, device: Device) -> tuple[int, int]:
    """Digits per weight, and what they count in, for the widest of the weights ``[fan_out, fan_in]``."""
    if weights.dim() != 2 or weights.is_floating_point():
        raise InputError("weights must be an integer matrix [out, in]", field="weights", cure="give levels, not reals")
    top = int(weights.to(torch.int64).abs().max())
    if top == 0:
        raise InputError("all weights are 0", field="weights", cure="leave this connection out")
    base = top + 1 if device.levels is None else min(int(device.levels.value), top + 1)
    slices = 1
    while base**slices <= top:
        slices += 1
    return slices, base


def digits(weights: Tensor, layout: Layout) -> Tensor:
    """Signed digits in the shape of the arrays: ``[fan_out, fan_in] → float32 [slices, tiles, banks, rows, pairs]``."""
    return to_arrays(split_digits(weights, layout.slices, layout.base).transpose(1, 2), layout)


def split_digits(weights: Tensor, slices: int, base: int) -> Tensor:
    """Signed digits, lowest first: ``[fan_out, fan_in] → float32 [slices, fan_out, fan_in]``."""
    magnitude, sign = weights.to(torch.int64).abs(), weights.to(torch.int64).sign()
    return torch.stack([magnitude // base**s % base * sign for s in range(slices)]).to(torch.float32)


def to_arrays(maps: Tensor, layout: Layout) -> Tensor:
    """Cut maps into arrays, zeros where an array has cells to spare.

    ``[slices, fan_in, fan_out] → [slices, tiles, banks, rows, pairs]``. Spare rows come first, away from the neurons,
    spare pairs last, away from the drivers.
    """
    wide = layout.banks * layout.pairs - layout.fan_out
    tall = layout.tiles * layout.rows - layout.fan_in
    padded = torch.nn.functional.pad(maps, (0, wide, tall, 0))
    return padded.view(-1, layout.tiles, layout.rows, layout.banks, layout.pairs).transpose(2, 3)


def from_arrays(arrays: Tensor, layout: Layout) -> Tensor:
    """Inverse for outputs: ``[slices, tiles, banks, rows, pairs] → [slices, tiles, rows, fan_out]``."""
    joined = arrays.transpose(2, 3).reshape(-1, layout.tiles, layout.rows, layout.banks * layout.pairs)
    return joined[..., : layout.fan_out]


def to_tiles(lengths: Tensor, layout: Layout) -> Tensor:
    """Pulses to the arrays whose rows they drive: ``[n, fan_in] → [tiles, n, rows]``."""
    spare = layout.tiles * layout.rows - layout.fan_in
    padded = torch.nn.functional.pad(lengths, (spare, 0))
    return padded.view(-1, layout.tiles, layout.rows).transpose(0, 1)


def from_tiles(matrix: Tensor, layout: Layout) -> Tensor:
    """Rows of all tiles in one matrix: ``[tiles, rows, fan_out] → [fan_in, fan_out]``."""
    return matrix.flatten(0, 1)[-layout.fan_in :]


def formed_cells(layout: Layout) -> Tensor:
    """Which cells belong to a weight: bool ``[1, tiles, banks, rows, columns]``."""
    return to_arrays(torch.ones(1, layout.fan_in, layout.fan_out), layout).bool().repeat_interleave(2, dim=-1)


def unit_conductance(layout: Layout, device: Device) -> float:
    """ΔG, the conductance difference that stands for digit 1, in siemens."""
    return (device.high - device.low) / layout.digit_top


def target_conductances(digit: Tensor, layout: Layout, device: Device) -> Tensor:
    """Conductances to write: digits ``[..., rows, pairs] → [..., rows, columns]`` in siemens, columns = 2 · pairs.

    Plus and minus cell of a pair are neighbours. The cell that carries the sign holds G_low + |d| · ΔG, the other one
    G_low; a pair without a weight stays unformed, at 0 S.
    """
    return pair_conductances(digit, unit_conductance(layout, device), device).flatten(-2) * formed_cells(layout)


def pair_conductances(digit: Tensor, unit: float, device: Device) -> Tensor:
    """Plus and minus cell of each digit: ``[...] → [..., 2]``, siemens."""
    return torch.stack([device.low + unit * digit.clamp(min=0), device.low + unit * (-digit).clamp(min=0)], dim=-1)


def difference(cells: Tensor) -> Tensor:
    """G⁺ − G⁻ of each pair: ``[..., rows, columns] → [..., rows, pairs]``."""
    return cells[..., 0::2] - cells[..., 1::2]
