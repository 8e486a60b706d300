"""Map weights to differential pairs: digits, conductances, and which cell of which array holds what.

A weight w is Σ_s base^s · d_s with digits |d_s| < base. A digit d is stored in a pair as G⁺ − G⁻ = d · ΔG. A device
with L levels stores digits up to L − 1, so 1-bit and ternary weights need one slice. A device without discrete levels
stores any weight in one slice. Rows that do not fit into one array go to further arrays (tiles), and so do outputs that
exceed its bit lines (banks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .circuit import Circuit
from .device import Device


@dataclass(frozen=True)
class Layout:
    """Where a weight matrix ``[fan_out, fan_in]`` is stored.

    Attributes:
        rows, pairs: word lines and differential pairs of one array.
        slices, base: number of digits per weight, and their base.
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
        """Number of arrays among which the rows are divided."""
        return -(-self.fan_in // self.rows)

    @property
    def banks(self) -> int:
        """Number of arrays among which the outputs are divided."""
        return -(-self.fan_out // self.pairs)

    @property
    def spare(self) -> int:
        """Number of rows that nothing drives. They are the first ones of the first array."""
        return self.tiles * self.rows - self.fan_in

    @property
    def arrays(self) -> int:
        """Total number of arrays of the connection."""
        return self.slices * self.tiles * self.banks


def lay_out(weights: NDArray[np.integer], device: Device, circuit: Circuit) -> Layout:
    """Choose digits and tiles for integer weights ``[fan_out, fan_in]``."""
    slices, base = digit_base(weights, device)
    fan_out, fan_in = weights.shape
    return Layout(fan_in, fan_out, int(circuit.rows.value), circuit.pairs, slices, base, base - 1)


def digit_base(weights: NDArray[np.integer], device: Device) -> tuple[int, int]:
    """Number of digits per weight, and their base, for the largest of the weights ``[fan_out, fan_in]``.

    If all weights are 0, which ternary ones may be, all cells hold the digit 0 of those that could also hold a 1.
    """
    if weights.ndim != 2 or weights.dtype.kind not in "iu":
        raise InputError("weights must be an integer matrix [out, in]", field="weights", cure="give levels, not reals")
    top = max(int(weights.max()), -int(weights.min()), 1)
    base = top + 1 if device.levels is None else min(int(device.levels.value), top + 1)
    slices = 1
    while base**slices <= top:
        slices += 1
    return slices, base


def digits(weights: NDArray[np.integer], layout: Layout) -> NDArray[np.float32]:
    """Signed digits in the shape of the arrays: ``[fan_out, fan_in] → float32 [slices, tiles, banks, rows, pairs]``."""
    return to_arrays(split_digits(weights, layout.slices, layout.base).swapaxes(1, 2), layout)


def split_digits(weights: NDArray[np.integer], slices: int, base: int) -> NDArray[np.float32]:
    """Signed digits, lowest first: ``[fan_out, fan_in] → float32 [slices, fan_out, fan_in]``."""
    magnitude, sign = np.abs(weights.astype(np.int32)), np.sign(weights)
    return np.stack([magnitude // base**s % base * sign for s in range(slices)]).astype(np.float32)


def to_arrays(maps: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Cut maps into arrays, with zeros in spare cells.

    ``[slices, fan_in, fan_out] → [slices, tiles, banks, rows, pairs]``. Spare rows come first, far from the neurons.
    Spare pairs come last, far from the drivers.
    """
    wide = layout.banks * layout.pairs - layout.fan_out
    padded = np.pad(maps, ((0, 0), (layout.spare, 0), (0, wide)))
    return padded.reshape(-1, layout.tiles, layout.rows, layout.banks, layout.pairs).swapaxes(2, 3)


def from_arrays(arrays: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Join the outputs of all banks: ``[slices, tiles, banks, rows, pairs] → [slices, tiles, rows, fan_out]``."""
    joined = arrays.swapaxes(2, 3).reshape(-1, layout.tiles, layout.rows, layout.banks * layout.pairs)
    return joined[..., : layout.fan_out]


def to_tiles(lengths: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Distribute pulses to the arrays whose rows they drive: ``[n, fan_in] → [tiles, n, rows]``."""
    padded = np.pad(lengths, ((0, 0), (layout.spare, 0)))
    return padded.reshape(-1, layout.tiles, layout.rows).swapaxes(0, 1)


def from_tiles(matrix: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Join the rows of all tiles into one matrix: ``[tiles, rows, fan_out] → [fan_in, fan_out]``."""
    return matrix.reshape(-1, matrix.shape[-1])[layout.spare :]


def place_values(layout: Layout) -> NDArray[np.float32]:
    """Place value of the digits of each slice, ``[slices]``."""
    return np.float32(layout.base) ** np.arange(layout.slices, dtype=np.float32)


def formed_cells(layout: Layout) -> NDArray[np.bool_]:
    """Which cells belong to a weight: bool ``[1, tiles, banks, rows, columns]``."""
    return np.repeat(to_arrays(np.ones((1, layout.fan_in, layout.fan_out), np.bool_), layout), 2, axis=-1)


def unit_conductance(layout: Layout, device: Device) -> float:
    """ΔG, the conductance difference that represents the digit 1, in siemens."""
    return (device.high - device.low) / layout.digit_top


def target_conductances(digit: NDArray[np.float32], layout: Layout, device: Device) -> NDArray[np.float32]:
    """Conductances to write: digits ``[..., rows, pairs] → [..., rows, columns]`` in siemens, columns = 2 · pairs.

    Plus and minus cell of a pair are neighbors. The cell that carries the sign holds G_low + |d| · ΔG, the other one
    G_low; a pair without a weight stays unformed, at 0 S.
    """
    pairs = pair_conductances(digit, unit_conductance(layout, device), device)
    return pairs.reshape(*digit.shape[:-1], -1) * formed_cells(layout)


def pair_conductances(digit: NDArray[np.float32], unit: float, device: Device) -> NDArray[np.float32]:
    """Plus and minus cell of each digit: ``[...] → [..., 2]``, siemens."""
    plus, minus = (device.low + unit * np.maximum(sign * digit, 0) for sign in (1, -1))
    return np.stack([plus, minus], axis=-1)


def difference(cells: NDArray[Any]) -> NDArray[Any]:
    """G⁺ − G⁻ of each pair: ``[..., rows, columns] → [..., rows, pairs]``."""
    apart: NDArray[Any] = cells[..., 0::2] - cells[..., 1::2]
    return apart
