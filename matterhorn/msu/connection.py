"""A programmed connection: kernels in, potentials or spikes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ..errors import InputError
from .cache import WireCache
from .cells import Cells, held
from .circuit import Circuit
from .conditions import Conditions
from .device import Device
from .event_reads import EventReads, ReadNoise
from .fixed import FixedMatrix
from .mapping import (
    Layout,
    difference,
    digits,
    from_arrays,
    from_tiles,
    target_conductances,
    to_tiles,
    unit_conductance,
)
from .neurons import Neurons
from .nodal import Surroundings
from .patterns import solve_arrays
from .pulses import pulse_lengths, remembered
from .read_noise import outer_factors, pair_variance
from .readout import Ramp, next_slots
from .saturate import saturating
from .wires import effective_conductances

CHUNK = 2048
"""Rows of a batch that pass through split arrays at a time, to bound memory."""

FEW = 0.05, 0.6
"""Share of events up to which they cost less than dense products of integers: one product (the weights are integers
themselves), or two."""


@dataclass(frozen=True, eq=False)
class ProgrammedConnection:
    """Integer weights ``[fan_out, fan_in]`` on a chip, ``seconds`` after they were written.

    Potentials are in weight times kernel step, so an ideal chip returns the integer sums themselves.

    Attributes:
        kernel_top: longest pulse, in kernel steps.
        full_scale: potential of one array (in digit times kernel step) that charges its capacitor to the swing.
        weights: in the order in which their rows lie in the arrays.
        step: duration of one kernel step, s. order: input of each row, int64 ``[fan_in]``; None: as given.
    """

    name: str
    weights: Tensor
    layout: Layout
    device: Device
    circuit: Circuit
    cells: Cells
    neurons: Neurons
    kernel_top: int
    full_scale: float
    step: float
    seconds: float
    cache: WireCache | None = None
    order: Tensor | None = None

    def at(self, seconds: float) -> ProgrammedConnection:
        """The same chip, so long after programming."""
        if seconds < 0:
            raise InputError(f"{seconds} s", field="seconds", cure="give a time of 0 s or more")
        return replace(self, seconds=seconds)

    def sized_for(self, kernel: Tensor) -> ProgrammedConnection:
        """The same chip with capacitors for the largest potential that ideal arrays reach on these kernels.

        Wires are solved anew (or found in the cache), so size a connection before it is used.
        """
        ideal = from_arrays(digits(self.weights, self.layout), self.layout).to(self._dtype)
        reached = (to_tiles(self._rows(kernel).to(self._dtype), self.layout) @ ideal).abs().amax()
        return replace(self, full_scale=max(float(reached), 1.0))

    @cached_property
    def column_gains(self) -> Tensor:
        """What is left of each output, ``[fan_out]``: wires and drift shrink it, a digital scale can restore it.

        The factor that best turns the integer weights into the effective ones, Σ_i w·e / Σ_i w².
        """
        weights = self.weights.to(self._dtype)
        return (weights.T * self._merged[0]).sum(0) / (weights * weights).sum(1).clamp(min=1)

    def integrate(self, kernel: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Potentials after read-out and after summing over arrays.

        Args:
            kernel: κ ``[..., fan_in]``, in kernel steps; 0 where silent. Gradients pass to a float kernel.
            generator: source of read noise and jitter, drawn anew in each call; None takes torch's own.

        Returns:
            ``[..., fan_out]``; float32, or float64 where sums may exceed what float32 holds exactly.
        """
        rows = self._rows(kernel)
        if kernel.dtype == torch.int8 and self._takes_events(rows):
            total = self._events(rows, generator)
        elif kernel.dtype == torch.int8 and self._fits_integers:
            total = self._in_integers(rows, generator)
        elif self._fits_one_product:
            total = self._one_product(self._lengths(rows, generator), generator)
        else:
            parts = self._lengths(rows, generator).split(CHUNK)
            total = torch.cat([self._array_by_array(part, generator) for part in parts])
        return total.reshape(*kernel.shape[:-1], self.layout.fan_out)

    def in_steps(
        self, kernel: Tensor, scale: Tensor, shift: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """:meth:`integrate`, then a digital scale: ``shift + scale · potential`` in whole kernel steps.

        Args:
            scale, shift: float32 ``[fan_out]``.

        Returns:
            int32 ``[..., fan_out]``.
        """
        if kernel.dtype == torch.int8:
            rows = self._rows(kernel)
            if self._takes_events(rows):
                return self._events(rows, generator, (scale, shift)).reshape(*kernel.shape[:-1], self.layout.fan_out)
        potentials = self.integrate(kernel, generator)
        return torch.addcmul(shift.to(potentials.dtype), potentials, scale).round_().to(torch.int32)

    def fire(self, kernel: Tensor, ramp: Ramp, generator: torch.Generator | None = None) -> Tensor:
        """Straight to the next spikes, without a converter: slots or ``SILENT``, uint8 ``[..., fan_out]``.

        Only where all rows and digits of a neuron sit in one array; elsewhere potentials must be summed after read-out.
        """
        if self.layout.tiles * self.layout.slices > 1:
            raise InputError(
                f"{self.name}: {self.layout.fan_in} inputs in {self.layout.slices} slices do not fit one array",
                cure="use integrate(), or a circuit with more rows and a device with more levels",
            )
        split = to_tiles(self._lengths(self._rows(kernel), generator), self.layout)
        late = self.conditions.ramp_jitter / self.circuit.slot.si * ramp.fall
        potentials = self._disturbed(self._on_integrators(split), split, late, generator)[0, 0] + self._offset[0, 0]
        return next_slots(potentials, ramp, self.conditions.droop).view(*kernel.shape[:-1], self.layout.fan_out)

    @cached_property
    def conductances(self) -> Tensor:
        """What the cells hold now, siemens ``[slices, tiles, banks, rows, columns]``."""
        return held(self.cells, self.device, self.seconds)

    @cached_property
    def effective(self) -> Tensor:
        """What each array multiplies by, in weights: ``[slices, tiles, rows, fan_out]``.

        The digit plus the deviation of its cells, so that nothing is rounded where nothing deviates.
        """
        unit = unit_conductance(self.layout, self.device)
        digit = digits(self.weights, self.layout)
        deviation = difference(self._seen - target_conductances(digit, self.layout, self.device)) / unit
        matrix = from_arrays(digit + deviation, self.layout) * self.neurons.gain[:, :, None]
        return matrix.to(self._dtype).contiguous()

    @cached_property
    def _seen(self) -> Tensor:
        """Conductances as seen through the wires, siemens."""
        if self.circuit.wires is None or self._needs_patterns:
            return self.conductances
        solve = effective_conductances if self.cache is None else self.cache.effective
        return solve(self.conductances, self.circuit.wires)

    @cached_property
    def _read_variance(self) -> Tensor:
        """Variance of one read of each pair, in weights squared: ``[slices, tiles, rows, fan_out]``."""
        unit = unit_conductance(self.layout, self.device)
        pair = pair_variance(self.conductances, self._seen, self.device, self.seconds) / unit**2
        return from_arrays(pair, self.layout) * self.neurons.gain[:, :, None] ** 2

    @cached_property
    def _read_factors(self) -> tuple[Tensor, Tensor]:
        return outer_factors(self._read_variance)

    @property
    def comparator_potentials(self) -> Tensor:
        """What the comparators' offsets add to the answer, ``[fan_out]``."""
        return (self._offset * self._place_value[:, None, None]).sum((0, 1))

    @cached_property
    def _merged(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Arrays and digits merged: matrix ``[in, out]``, offset ``[out]``, outer factors of the read noise."""
        place = self._place_value
        matrix = from_tiles((place[:, None, None, None] * self.effective).sum(0), self.layout)
        variance = from_tiles((place[:, None, None, None] ** 2 * self._read_variance).sum(0), self.layout)
        by_row, by_neuron = outer_factors(variance)
        return matrix.contiguous(), self.comparator_potentials, by_row.to(self._dtype), by_neuron.sqrt().to(self._dtype)

    def _one_product(self, lengths: Tensor, generator: torch.Generator | None) -> Tensor:
        matrix, offset, _, _ = self._merged
        kept = remembered(lengths, self.conditions.leak_rate)
        noisy, off = self.device.read is not None, self.circuit.comparator is not None
        if not noisy:
            return torch.addmm(offset, kept, matrix) if off else kept @ matrix
        noise = self._noise(kept, generator)
        return torch.addmm(noise.add_(offset) if off else noise, kept, matrix)

    def _takes_events(self, kernel: Tensor) -> bool:
        """Whether events are the way for int8 kernels ``[n, fan_in]``: always where arrays are read one by one."""
        if self._dtype != torch.float32 or self._needs_patterns:
            return False
        if not self._fits_integers:
            return True
        sample = kernel[:: len(kernel) // 32 + 1]
        few = FEW[0] if self._fixed.low is None else FEW[1]
        return int(torch.count_nonzero(sample)) <= few * sample.numel()

    def _in_integers(self, kernel: Tensor, generator: torch.Generator | None) -> Tensor:
        """The one product, for whole steps that nothing shortens: int8 ``[n, fan_in]``."""
        total = self._fixed(kernel.contiguous())
        if self.circuit.comparator is not None:
            total.add_(self._merged[1])
        return total if self.device.read is None else total.add_(self._noise(kernel.to(self._dtype), generator))

    @cached_property
    def _events(self) -> EventReads:
        if self._fits_one_product:
            _, offset, by_row, by_neuron = self._merged
            matrix = (self._place_value[:, None, None, None] * self.effective).sum(0, keepdim=True)
            noise = ReadNoise(to_tiles(by_row[None], self.layout).transpose(0, 1), by_neuron[None, None].square())
            return EventReads.of(self.layout, self.conditions, matrix, noise, offset[None, None], merged=True)
        noise = ReadNoise(*self._read_factors)
        return EventReads.of(self.layout, self.conditions, self.effective, noise, self._offset, merged=False)

    def _noise(self, kept: Tensor, generator: torch.Generator | None) -> Tensor:
        """Read noise of the sums, ``[n, fan_out]``."""
        _, _, by_row, by_neuron = self._merged
        noise = torch.randn((len(kept), self.layout.fan_out), generator=generator, dtype=self._dtype)
        return noise.mul_((kept.detach().square() @ by_row).sqrt_()[:, None]).mul_(by_neuron)

    def _array_by_array(self, lengths: Tensor, generator: torch.Generator | None) -> Tensor:
        """Every array read out by itself, then summed: ``[n, fan_in] → [n, fan_out]``."""
        split = to_tiles(lengths, self.layout)
        potentials = self._on_integrators(split) + self._offset[:, :, None]
        late, converter = torch.tensor(self.conditions.conversion_jitter), self.conditions.converter
        potentials = self._disturbed(potentials, split, late, generator)
        potentials = potentials if converter is None else converter(potentials)
        return (potentials.sum(1) * self._place_value[:, None, None]).sum(0)

    def _on_integrators(self, split: Tensor) -> Tensor:
        """Potentials before read-out, without noise: ``[tiles, n, rows] → [slices, tiles, n, fan_out]``."""
        if self._needs_patterns:
            return self._solved(split, self.conditions.rail)
        if self.circuit.saturation is None:
            return remembered(split, self.conditions.leak_rate) @ self.effective
        return saturating(split, self.effective, self.conditions.leak_rate, self.conditions.rail)

    def _disturbed(self, potentials: Tensor, split: Tensor, late: Tensor, generator: torch.Generator | None) -> Tensor:
        """Add read noise and what a comparator's jitter (``late``, as a spread of potentials) makes of the ramp."""
        if self.device.read is None:
            spread = late.to(split.dtype)
            if not spread.any():
                return potentials
        else:
            by_row, by_neuron = (factor.to(split.dtype) for factor in self._read_factors)
            driven = remembered(split.detach(), self.conditions.leak_rate) ** 2 @ by_row[..., None]
            spread = (driven * by_neuron[:, :, None] + late**2).sqrt()
        return torch.randn(potentials.shape, generator=generator, dtype=potentials.dtype).mul_(spread).add_(potentials)

    def _solved(self, split: Tensor, limit: float) -> Tensor:
        """Pattern by pattern through the network of each array: ``[slices, tiles, n, fan_out]``."""
        assert self.circuit.wires is not None
        volts = self.circuit.read_voltage.si
        alpha = self.device.nonlinearity.si if self.device.nonlinearity is not None else 0.0
        unit = unit_conductance(self.layout, self.device) * volts
        pairs = self.layout.banks * self.layout.pairs
        gain = torch.nn.functional.pad(self.neurons.gain, (0, pairs - self.layout.fan_out), value=1.0)
        surroundings = Surroundings(self.circuit.wires, volts, alpha)
        charges = solve_arrays(split, self.conductances, surroundings, self.conditions.leak_rate, limit * unit / gain)
        return (charges / unit * gain[:, :, None])[..., : self.layout.fan_out].to(self._dtype)

    @property
    def _needs_patterns(self) -> bool:
        """Whether no effective matrix exists: nonlinear cells or floating rows behind resistive wires."""
        wires = self.circuit.wires
        return wires is not None and (wires.undriven == "float" or self.device.nonlinearity is not None)

    @property
    def _fits_one_product(self) -> bool:
        """Whether arrays may be merged: nothing between product and sum is nonlinear."""
        return self.circuit.saturation is None and self.circuit.conversion is None and not self._needs_patterns

    @property
    def _fits_integers(self) -> bool:
        """Whether pulses of whole steps also arrive as such."""
        exact_steps = self.conditions.leak_rate == 0 and self.conditions.pulse_jitter == 0
        return self._fits_one_product and exact_steps and self._dtype == torch.float32

    @cached_property
    def _fixed(self) -> FixedMatrix:
        return FixedMatrix.of(self._merged[0], self.kernel_top)

    @property
    def conditions(self) -> Conditions:
        """The circuit in kernel steps and potentials."""
        return Conditions(self.circuit, self.step, self.full_scale)

    @cached_property
    def _offset(self) -> Tensor:
        """Comparator offsets as potentials ``[slices, tiles, out]``."""
        return (self.neurons.offset * self.conditions.volts(1.0)).to(self._dtype)

    @cached_property
    def _place_value(self) -> Tensor:
        return float(self.layout.base) ** torch.arange(self.layout.slices, dtype=self._dtype)

    @cached_property
    def _dtype(self) -> torch.dtype:
        """float32 as long as it holds the largest sum exactly."""
        largest = self.kernel_top * int(self.weights.to(torch.int64).abs().sum(1).max())
        return torch.float32 if largest < 2**24 else torch.float64

    def _rows(self, kernel: Tensor) -> Tensor:
        if kernel.shape[-1] != self.layout.fan_in:
            raise InputError(
                f"{self.name}: kernel of {kernel.shape[-1]} neurons", cure=f"give {self.layout.fan_in} neurons last"
            )
        return self.placed(kernel).reshape(-1, self.layout.fan_in)

    def _lengths(self, rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Pulses of kernels ``[n, fan_in]``."""
        return pulse_lengths(rows.to(self._dtype), self.conditions.pulse_jitter, generator)

    def placed(self, kernel: Tensor) -> Tensor:
        """Kernels ``[..., fan_in]`` in the order of the rows they drive."""
        return kernel if self.order is None else kernel[..., self.order]
