"""Reads by events: compiled loops compute the response of arrays at a cost proportional to the number of pulses.

The physics is the same as in the definition, :mod:`.plain`. Tests compare the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.lanes import LANES
from ..kernels.msu_pulses import Pulses, list_pulses, measure
from ..kernels.msu_reads import Arrays, Scale, read_arrays
from .circuit import Conditions
from .mapping import Layout, place_values
from .physics import Physics

Kappa = NDArray[np.integer]
"""int8 or int16."""

READ_TOGETHER = 1024
"""Tokens that pass through the arrays together. Their sums stay in a core's second-level cache."""

JITTER = 0x5DEECE66D
"""Makes the key of the pulses' jitter differ from that of read noise."""


@dataclass(frozen=True, eq=False)
class EventReads:
    """A connection laid out for the kernels.

    Attributes:
        by_row: row factor of the variance of read noise, float32 ``[slices, tiles, rows]``. ``arrays.by_neuron`` is the
            other factor: a read has the variance Σ_rows κ² · by_row · by_neuron.
        noisy: whether cells have read noise.
    """

    layout: Layout
    conditions: Conditions
    arrays: Arrays
    by_row: NDArray[np.float32]
    noisy: bool

    @classmethod
    def of(cls, physics: Physics, conditions: Conditions) -> EventReads:
        """Lay out a connection. If products are only added up, its arrays are merged (:attr:`.Physics.mergeable`)."""
        layout, matrix, merged = physics.layout, physics.effective, physics.mergeable
        offset = physics.neurons.offset * conditions.potential_per_volt
        noisy, place = physics.variance is not None, place_values(layout)
        variance = np.zeros_like(matrix) if physics.variance is None else physics.variance
        if merged:
            matrix = np.tensordot(place, matrix, axes=1)[None]
            offset = np.tensordot(place, offset, axes=1).sum(0)[None, None]
            variance = np.tensordot(place**2, variance, axes=1).reshape(1, 1, -1, matrix.shape[-1])
        by_row, by_neuron = outer_factors(variance)
        blocks = _wide(matrix).reshape(*matrix.shape[:3], -1, LANES).swapaxes(2, 3)
        arrays = Arrays(
            matrix=np.ascontiguousarray(blocks),
            strongest=np.abs(blocks).max((-2, -1)),
            offset=_wide(offset),
            by_neuron=_wide(by_neuron),
            merged=merged,
            noisy=noisy or conditions.late > 0,
            base=float(layout.base),
        )
        rows = np.ascontiguousarray(by_row.reshape(len(matrix), layout.tiles, -1), np.float32)
        return cls(layout, conditions, arrays, rows, noisy)

    def read(
        self,
        kappa: Kappa,
        rng: np.random.Generator,
        scale: NDArray[np.float32] | None = None,
        shift: NDArray[np.float32] | None = None,
    ) -> NDArray[Any]:
        """Read the arrays: κ ``[n, fan_in]`` → potentials, float32 ``[n, fan_out]``.

        With ``scale`` and ``shift``, both ``[fan_out]``, the result is ``shift + scale · potential``, rounded to int32.
        """
        kappa, width = np.ascontiguousarray(kappa), self.arrays.offset.shape[-1]
        if scale is None or shift is None:
            how = Scale(np.ones(width, np.float32), np.zeros(width, np.float32), False)
        else:
            how = Scale(_wide(scale), _wide(shift), True)
        out = np.empty((len(kappa), width), np.int32)
        for start in range(0, len(kappa), READ_TOGETHER):
            part = slice(start, start + READ_TOGETHER)
            self._read(kappa[part], how, int(rng.integers(2**63)), out[part])
        return np.ascontiguousarray(out[:, : self.layout.fan_out]).view(np.int32 if how.whole else np.float32)

    def _read(self, kappa: Kappa, scale: Scale, seed: int, out: NDArray[np.int32]) -> None:
        given, layout = self.conditions, self.layout
        top = max(int(kappa.max(initial=0)), -int(kappa.min(initial=0)))
        pulses = Pulses.room_for(kappa, layout.tiles)
        jitter_key = np.uint64(seed ^ JITTER)
        list_pulses(kappa, top, layout.rows, layout.spare, given.pulse_jitter, given.leak_rate, jitter_key, pulses)
        slices, tiles, _ = self.by_row.shape
        power = np.zeros((slices, 1 if self.arrays.merged else tiles, len(kappa)), np.float32)
        size = np.zeros((len(kappa), layout.tiles), np.float32)
        if self.noisy or given.rail < float("inf"):
            measure(pulses, self.by_row, self.arrays.merged, power, size)
        read_arrays(self.arrays, pulses, power, size, given, scale, np.uint64(seed), out)


def outer_factors(variance: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Approximate a matrix by an outer product of the same row and column means: ``[..., n, m] → [..., n], [..., m]``.

    The variance of a sum over many rows is Σ_i κ_i² s_ij. With an outer product for s, this needs no second matrix
    product. It is exact if all pairs are equally noisy (1-bit weights), and otherwise right on average over rows and
    over columns.
    """
    total = np.maximum(variance.mean((-2, -1)), np.finfo(np.float32).tiny)
    return variance.mean(-1), variance.mean(-2) / total[..., None]


def _wide(x: NDArray[np.floating]) -> NDArray[np.float32]:
    """Convert to float32 and pad the last dimension with zeros to a multiple of 64 neurons."""
    spare = [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % LANES)]
    return np.pad(x, spare).astype(np.float32)
