"""A chip: arrays of one device and circuit, one draw per seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from .cache import WireCache
from .cells import Streams, stuck_cells, write
from .circuit import Circuit
from .connection import ProgrammedConnection
from .correction import AS_WRITTEN, Correction, input_order
from .device import Device
from .files import load_circuit, load_device
from .mapping import digits, formed_cells, lay_out, target_conductances
from .neurons import draw_neurons


@dataclass(frozen=True)
class ArrayBank:
    """One chip instance: the same seed always gives the same cells, in whatever order connections are programmed.

    Args:
        device, circuit: what the chip is made of.
        seed: which chip it is.
        cache: where solved wires are kept; None solves them anew.
        correction: how arrays are programmed.
    """

    device: Device
    circuit: Circuit
    seed: int = 0
    cache: WireCache | None = None
    correction: Correction = AS_WRITTEN

    @classmethod
    def of(cls, device: str | Path, circuit: str | Path, *, seed: int = 0, cache: WireCache | None = None) -> ArrayBank:
        """A chip by names or files of its device and circuit."""
        return cls(load_device(device), load_circuit(circuit), seed, cache)

    def program(
        self,
        weights: Tensor,
        *,
        name: str = "connection",
        kernel_top: int = 15,
        kernel_unit: int = 1,
        full_scale: float | None = None,
        importance: Tensor | None = None,
    ) -> ProgrammedConnection:
        """Write integer weights ``[out, in]``.

        Args:
            name: which connection this is; part of the draw.
            kernel_top: largest |κ| that will come, in kernel steps.
            kernel_unit: kernel steps per level (``Code.unit``).
            full_scale: largest potential of one array, in digit times kernel step, that its capacitor is sized for; by
                default the largest there can be. A smaller one uses offsets and converters better, and may saturate.
            importance: of each input ``[in]``, for choosing rows: the mean square of its kernel. All alike by default.
        """
        layout = lay_out(weights, self.device, self.circuit)
        if kernel_top < 1 or kernel_unit < 1:
            raise InputError("no pulse has a length", field="kernel_top, kernel_unit", cure="give numbers of 1 or more")
        if full_scale is not None and full_scale <= 0:
            raise InputError(f"{full_scale}", field="full_scale", cure="give a potential above 0")
        generator = torch.Generator().manual_seed(_draw(self.seed, name))
        streams, formed = Streams.of(generator), formed_cells(layout).expand(layout.slices, -1, -1, -1, -1)
        stuck = stuck_cells(formed, self.device, streams)
        target = target_conductances(digits(weights, layout), layout, self.device)
        order = None
        if self.correction.place_rows:
            important = torch.ones(layout.fan_in) if importance is None else importance
            order = input_order(target, stuck, (self.device.low, self.device.high), layout, important)
            weights = weights[:, order]
            target = target_conductances(digits(weights, layout), layout, self.device)
        return ProgrammedConnection(
            name=name,
            weights=weights,
            layout=layout,
            device=self.device,
            circuit=self.circuit,
            cells=write(target, formed, self.device, streams, stuck, self.correction),
            neurons=draw_neurons(layout, self.circuit, generator),
            kernel_top=kernel_top,
            full_scale=full_scale or float(layout.rows * layout.digit_top * kernel_top),
            step=self.circuit.slot.si / kernel_unit,
            seconds=0.0,
            cache=self.cache,
            order=order,
        )


def _draw(seed: int, name: str) -> int:
    """Seed of one connection of one chip."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") >> 1
