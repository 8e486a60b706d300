"""What differs from neuron to neuron: one draw per neuron and array."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .circuit import Circuit
from .mapping import Layout


@dataclass(frozen=True, eq=False)
class Neurons:
    """Draws for the neurons of a connection, ``[slices, tiles, out]``: gain by capacitor mismatch, offset in volts."""

    gain: Tensor
    offset: Tensor


def draw_neurons(layout: Layout, circuit: Circuit, generator: torch.Generator) -> Neurons:
    """The neurons of a chip."""
    shape = (layout.slices, layout.tiles, layout.fan_out)
    capacity = torch.randn(shape, generator=generator, dtype=torch.float64)
    offset = torch.randn(shape, generator=generator, dtype=torch.float64)
    mismatch = circuit.mismatch.spread.si if circuit.mismatch is not None else 0.0
    volts = circuit.comparator.offset.si if circuit.comparator is not None else 0.0
    return Neurons(gain=1 / (1 + mismatch * capacity), offset=volts * offset)
