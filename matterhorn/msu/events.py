"""Reads by events: what a connection's arrays answer to int8 kernels, at a cost in proportion to the pulses.

The same physics as the plain products of :mod:`.connection`, which also carry gradients; tests hold the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .conditions import Conditions
from .kernels.arrays import read_arrays
from .kernels.events import count_events, list_events, measure, room
from .kernels.lanes import LANES
from .mapping import Layout

CHUNK = 1024
"""Tokens that pass through the arrays together: their sums stay in a core's second-level cache."""

JITTER_STREAM = 0x5DEECE66D
"""Told apart from the noise of reads by this in its seed."""


@dataclass(frozen=True, eq=False)
class ReadNoise:
    """Of a neuron's read: variance Σ κ² · by_row · by_neuron, float32 ``[slices, tiles, rows]`` and ``[…, out]``."""

    by_row: Tensor
    by_neuron: Tensor


@dataclass(frozen=True, eq=False)
class EventReads:
    """Arrays as the kernels take them.

    Attributes:
        matrix: float32 ``[slices, tiles, blocks, rows, 64]``, in weights; one slice where arrays are merged.
        offset: float32 ``[slices, tiles, 64 · blocks]``, or ``[1, 1, 64 · blocks]`` where arrays are merged.
        strongest: float32 ``[slices, tiles, blocks]``, the largest weight.
        merged: whether nothing lies between products and their sum, so that arrays are one.
        draws: whether reads are noisy. plain: the scale and shift that change nothing, ``[64 · blocks]``.
    """

    layout: Layout
    conditions: Conditions
    matrix: Tensor
    noise: ReadNoise
    offset: Tensor
    strongest: Tensor
    merged: bool
    draws: bool
    plain: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(
        cls,
        layout: Layout,
        conditions: Conditions,
        effective: Tensor,
        noise: ReadNoise,
        offset: Tensor,
        *,
        merged: bool,
    ) -> EventReads:
        """Lay out ``effective [slices, tiles, rows, out]`` and what belongs to its neurons ``[…, out]``."""
        blocks = _wide(effective).unflatten(-1, (-1, LANES)).transpose(2, 3).float().contiguous()
        noise = ReadNoise(noise.by_row.float().contiguous(), _wide(noise.by_neuron).float().contiguous())
        shift = _wide(offset).float().contiguous()
        strongest, draws = blocks.abs().amax((-2, -1)), bool(noise.by_row.any())
        plain = np.ones(shift.shape[-1], np.float32), np.zeros(shift.shape[-1], np.float32)
        return cls(layout, conditions, blocks, noise, shift, strongest, merged, draws, plain)

    def __call__(
        self, kernel: Tensor, generator: torch.Generator | None, digital: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """int8 ``[n, in]`` → potentials float32 ``[n, out]``.

        Args:
            digital: scale and shift ``[out]``: with them, ``shift + scale · potential`` in whole numbers, int32.
        """
        rows, fan_out = kernel.contiguous().numpy(), self.layout.fan_out
        out = np.empty((len(rows), self.matrix.shape[2] * LANES), np.int32)
        plain = digital is None
        scale, shift = self.plain if digital is None else (_wide(x).numpy() for x in digital)
        for start in range(0, len(rows), CHUNK):
            seed = int(torch.randint(2**62, (), generator=generator, dtype=torch.int64))
            self._read(rows[start : start + CHUNK], seed, (scale, shift, not plain), out[start : start + CHUNK])
        return torch.from_numpy(out.view(np.float32) if plain else out)[:, :fan_out]

    def _read(
        self, kernel: np.ndarray, seed: int, digital: tuple[np.ndarray, np.ndarray, bool], out: np.ndarray
    ) -> None:
        n, layout, given = len(kernel), self.layout, self.conditions
        places = room(count_events(kernel), n, layout.tiles)
        order, lengths, kept = (np.empty(places, kind) for kind in (np.uint16, np.float32, np.float32))
        bounds = np.empty((n, layout.tiles + 1), np.int64)
        spare, jitter_key = layout.tiles * layout.rows - layout.fan_in, np.uint64(seed ^ JITTER_STREAM)
        pulses = given.pulse_jitter, given.leak_rate
        list_events(kernel, layout.rows, spare, *pulses, jitter_key, order, lengths, kept, bounds)
        by_row = self.noise.by_row.numpy()
        power = np.zeros((len(by_row), 1 if self.merged else layout.tiles, n), np.float32)
        reach = np.zeros((n, layout.tiles), np.float32)
        if self.draws or given.rail < float("inf"):
            measure(order, kept, bounds, by_row, self.merged, power, reach)
        late, converter = given.conversion_jitter, given.converter
        read_arrays(
            self.matrix.numpy(),
            (order, lengths, kept, bounds),
            (power, reach),
            (given.rail, given.leak_rate, self.strongest.numpy()),
            (self.noise.by_neuron.numpy(), np.float32(late), self.draws or late > 0),
            self.offset.numpy(),
            (converter.step, converter.counts // 2, float(layout.base)) if converter else (0.0, 0, float(layout.base)),
            self.merged,
            digital,
            np.uint64(seed),
            out,
        )


def _wide(x: Tensor) -> Tensor:
    """Zeros at the end, up to whole blocks of 64 neurons."""
    spare = -x.shape[-1] % LANES
    return torch.nn.functional.pad(x, (0, spare)) if spare else x
