"""A weight matrix as one chip holds it: the values that its arrays multiply by, and the noise of a read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cells import Cells, Neurons
from .circuit import Circuit
from .device import Device
from .gains import trusted_gains
from .mapping import Layout, difference, digits, from_arrays, from_tiles, place_values, unit_conductance
from .wires import WireCache, effective_conductances


@dataclass(frozen=True, eq=False, kw_only=True)
class Physics:
    """The state of a connection ``seconds`` after it was written. It never changes. Results are computed on request.

    Attributes:
        weights: integers ``[fan_out, fan_in]``, with inputs in the order of their rows in the arrays.
        cells, neurons: as drawn.
        cache: where solutions for the wires are kept.
    """

    weights: NDArray[np.integer]
    layout: Layout
    device: Device
    circuit: Circuit
    cells: Cells
    neurons: Neurons
    seconds: float = 0.0
    cache: WireCache | None = None

    @cached_property
    def conductances(self) -> NDArray[np.float32]:
        """Present conductances of the cells, in siemens, ``[slices, tiles, banks, rows, columns]``."""
        return _still(self.cells.held(self.device, self.seconds))

    @cached_property
    def effective(self) -> NDArray[np.float32]:
        """Values that each array multiplies by, in weights: ``[slices, tiles, rows, fan_out]``.

        They are the digits plus the deviations of their cells, so nothing is rounded where nothing deviates.
        """
        deviation = difference(self._seen - self.cells.target) / unit_conductance(self.layout, self.device)
        matrix = from_arrays(digits(self.weights, self.layout) + deviation, self.layout)
        return _still((matrix * self.neurons.gain[:, :, None]).astype(np.float32))

    @cached_property
    def variance(self) -> NDArray[np.float32] | None:
        """Variance of one read of each pair, in weights squared, ``[slices, tiles, rows, fan_out]``. None: no noise.

        Every cell fluctuates anew in each read. The wires attenuate its noise as they do its signal (to first order in
        their loss).
        """
        layout, device, read = self.layout, self.device, self.device.read
        if read is None:
            return None
        spread = read.spread(self.cells.written / device.high, self.seconds) * self._seen
        squared = (spread / unit_conductance(layout, device)) ** 2
        pairs = from_arrays(squared[..., 0::2] + squared[..., 1::2], layout)
        return _still((pairs * self.neurons.gain[:, :, None] ** 2).astype(np.float32))

    @cached_property
    def column_gains(self) -> NDArray[np.float32]:
        """Fraction of each output that remains, ``[fan_out]``, above 0.

        Wires and drift reduce it, and a digital scale can restore it. Outputs with few weights have nearly the gain of
        the whole connection (:func:`.gains.trusted_gains`).
        """
        matrix = from_tiles(np.tensordot(place_values(self.layout), self.effective, axes=1), self.layout)
        gains = trusted_gains(self.weights.T.astype(np.float64), matrix.astype(np.float64))
        return _still(gains.astype(np.float32))

    @property
    def needs_patterns(self) -> bool:
        """Whether there is no effective matrix, because cells are nonlinear or rows behind resistive wires float."""
        wires = self.circuit.wires
        return wires is not None and (wires.undriven == "float" or self.device.nonlinearity is not None)

    @property
    def mergeable(self) -> bool:
        """Whether arrays may be read as one, because everything between their products and the sum is linear.

        This is so without saturation and without converters.
        """
        return self.circuit.saturation is None and self.circuit.conversion is None and not self.needs_patterns

    @cached_property
    def _seen(self) -> NDArray[np.float32]:
        """Conductances as seen through the wires, in siemens, if cells are linear and undriven rows are at 0 V.

        If rows float or cells are nonlinear, this is close to what each pattern sees.
        """
        if self.circuit.wires is None:
            return self.conductances
        solve = effective_conductances if self.cache is None else self.cache.effective
        return solve(self.conductances, self.circuit.wires)


COMPUTED = tuple(name for name, member in vars(Physics).items() if isinstance(member, cached_property))
"""Names of the cached results, which depend on the cells only and not on the size of the capacitors."""


def _still(array: NDArray[Any]) -> NDArray[Any]:
    """Make an array read-only, and return it."""
    array.flags.writeable = False
    return array
