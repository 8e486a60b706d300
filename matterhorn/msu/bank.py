"""A simulated chip: arrays of one device and circuit, with one random draw per seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .cells import draw_neurons, streams_of, stuck_cells, write
from .circuit import Circuit
from .connection import ProgrammedConnection
from .correction import AS_WRITTEN, Correction, input_order
from .device import Device
from .files import load_circuit, load_device
from .mapping import digits, formed_cells, lay_out, target_conductances
from .wires import WireCache


@dataclass(frozen=True)
class ArrayBank:
    """One simulated chip. The same seed always gives the same cells, in whatever order connections are programmed.

    Args:
        device: memristive device of the cells.
        circuit: arrays and neurons around the cells.
        seed: number of the chip; it determines all random draws.
        cache: where solutions of the wires' equations are kept. None: they are computed each time.
        correction: how arrays are programmed, e.g. whether writes are verified.
    """

    device: Device
    circuit: Circuit
    seed: int = 0
    cache: WireCache | None = None
    correction: Correction = AS_WRITTEN

    @classmethod
    def of(cls, device: str | Path, circuit: str | Path, *, seed: int = 0, cache: WireCache | None = None) -> ArrayBank:
        """Make a chip from the names or YAML files of its device and circuit.

        Args:
            device, circuit: name of a shipped one, or path of a YAML file.
            seed, cache: see the class.

        Raises:
            InputError: there is no such device or circuit, or its file is not valid.
        """
        return cls(load_device(device), load_circuit(circuit), seed, cache)

    def program(
        self,
        weights: NDArray[np.integer],
        *,
        name: str = "connection",
        kappa_top: int = 15,
        kappa_unit: int = 1,
        full_scale: float | None = None,
        importance: NDArray[np.floating] | None = None,
    ) -> ProgrammedConnection:
        """Write integer weights ``[out, in]`` to arrays.

        Args:
            weights: integers ``[out, in]``.
            name: name of the connection. It is part of the seed of the draw.
            kappa_top: largest |κ| that is expected, in steps of κ; capacitors have room for it. Longer pulses are read
                just as exactly, in float64 where needed.
            kappa_unit: steps of κ per level (``Code.unit``).
            full_scale: largest potential of one array that its capacitor is sized for, in digits times steps of κ.
                None: the largest possible potential. A smaller value reduces the effect of offsets and of the
                converters' resolution, but may saturate.
            importance: weight of each input ``[in]`` in the choice of rows: the mean square of its κ. None: all are
                equal.

        Raises:
            InputError: ``kappa_top`` or ``kappa_unit`` is less than 1, or ``full_scale`` is not positive.
        """
        device, circuit, layout = self.device, self.circuit, lay_out(weights, self.device, self.circuit)
        if kappa_top < 1 or kappa_unit < 1:
            raise InputError("no pulse has a length", field="kappa_top, kappa_unit", cure="give numbers of 1 or more")
        if full_scale is not None and full_scale <= 0:
            raise InputError(f"{full_scale}", field="full_scale", cure="give a potential above 0")
        streams = streams_of(f"{self.seed}:{name}")
        target = target_conductances(digits(weights, layout), layout, device)
        formed = np.broadcast_to(formed_cells(layout), target.shape)
        stuck = stuck_cells(formed, device, streams)
        order = None
        if self.correction.place_rows:
            important = np.ones(layout.fan_in) if importance is None else importance
            order = input_order(target, stuck, (device.low, device.high), layout, important)
            weights = weights[:, order]
            target = target_conductances(digits(weights, layout), layout, device)
        cells = write(target, formed, device, streams, stuck, self.correction)
        neurons = draw_neurons(layout, circuit, streams)
        return ProgrammedConnection(
            name=name,
            weights=weights,
            layout=layout,
            device=device,
            circuit=circuit,
            cells=cells,
            neurons=neurons,
            cache=self.cache,
            kappa_top=kappa_top,
            full_scale=full_scale or float(layout.rows * layout.digit_top * kappa_top),
            step=circuit.slot.si / kappa_unit,
            order=order,
        )
