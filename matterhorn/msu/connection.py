"""A programmed connection: kernels in, potentials or spikes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .cache import WireCache
from .cells import Cells, held, read_spread
from .circuit import Circuit
from .device import Device
from .mapping import Layout, difference, digits, from_arrays, target_conductances, unit_conductance
from .nodal import Network
from .patterns import pattern_charges
from .pulses import pulse_lengths, remembered
from .readout import Ramp, TimeToDigital, next_slots
from .saturate import saturating
from .wires import effective_conductances

CHUNK = 2048
"""Rows of a batch that pass through split arrays at a time, to bound memory."""


@dataclass(frozen=True, eq=False)
class Neurons:
    """Draws for the neurons of a connection, ``[slices, tiles, out]``: gain by capacitor mismatch, offset in volts."""

    gain: Tensor
    offset: Tensor


@dataclass(frozen=True, eq=False)
class ProgrammedConnection:
    """Integer weights ``[fan_out, fan_in]`` on a chip, ``seconds`` after they were written.

    Potentials are in weight times kernel step, so an ideal chip returns the integer sums themselves.

    Attributes:
        kernel_top: longest pulse, in kernel steps.
        full_scale: potential of one array (in digit times kernel step) that charges its capacitor to the swing.
        step: duration of one kernel step, s.
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

    def at(self, seconds: float) -> ProgrammedConnection:
        """The same chip, so long after programming."""
        if seconds < 0:
            raise InputError(f"{seconds} s", field="seconds", cure="give a time of 0 s or more")
        return replace(self, seconds=seconds)

    def integrate(self, kernel: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Potentials after read-out and after summing over arrays.

        Args:
            kernel: κ, integer or float ``[..., fan_in]``, in kernel steps; 0 where silent.
            generator: source of read noise and jitter, drawn anew in each call; None takes torch's own.

        Returns:
            ``[..., fan_out]``; float32, or float64 where sums may exceed what float32 holds exactly.
        """
        rows = self._rows(kernel)
        lengths = pulse_lengths(rows, self._pulse_jitter, generator)
        if self._fits_one_product:
            total = self._one_product(lengths, generator)
        else:
            total = torch.cat([self._array_by_array(part, generator) for part in lengths.split(CHUNK)])
        return total.view(*kernel.shape[:-1], self.layout.fan_out)

    def fire(self, kernel: Tensor, ramp: Ramp, generator: torch.Generator | None = None) -> Tensor:
        """Straight to the next spikes, without a converter: slots or ``SILENT``, uint8 ``[..., fan_out]``.

        Only where all rows and digits of a neuron sit in one array; elsewhere potentials must be summed after read-out.
        """
        if self.layout.tiles * self.layout.slices > 1:
            raise InputError(
                f"{self.name}: {self.layout.fan_in} inputs in {self.layout.slices} slices do not fit one array",
                cure="use integrate(), or a circuit with more rows and a device with more levels",
            )
        lengths = pulse_lengths(self._rows(kernel), self._pulse_jitter, generator)
        potentials = self._on_integrators(lengths, generator)[0, 0] + self._offset[0, 0]
        if self.circuit.jitter is not None:
            spread = self.circuit.jitter.ramp.si / self.circuit.slot.si / ramp.scale
            potentials = potentials + spread * _noise(potentials, generator)
        droop = self._leak_rate * self.circuit.slot.si / self.step
        return next_slots(potentials, ramp, droop).view(*kernel.shape[:-1], self.layout.fan_out)

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
        """Variance of one read of each pair, in weights squared: ``[slices, tiles, rows, fan_out]``.

        A cell's current noise reaches its neuron with the attenuation that its signal suffers (first order in wires).
        """
        share = read_spread(self.conductances, self.device, self.seconds) / self.conductances.clamp(min=1e-30)
        squared = (share * self._seen / unit_conductance(self.layout, self.device)) ** 2
        pair = squared[..., 0::2] + squared[..., 1::2]
        return from_arrays(pair, self.layout) * self.neurons.gain[:, :, None] ** 2

    @cached_property
    def _merged(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Arrays and digits merged: matrix ``[in, out]``, offset ``[out]``, outer factors of the read noise."""
        place = self._place_value
        matrix = self._flat((place[:, None, None, None] * self.effective).sum(0))
        offset = (place[:, None, None] * self._offset).sum((0, 1))
        variance = self._flat((place[:, None, None, None] ** 2 * self._read_variance).sum(0))
        by_row, by_neuron = _outer_factors(variance)
        return matrix.contiguous(), offset, by_row.to(self._dtype), by_neuron.sqrt().to(self._dtype)

    def _one_product(self, lengths: Tensor, generator: torch.Generator | None) -> Tensor:
        matrix, offset, by_row, by_neuron = self._merged
        kept = remembered(lengths, self._leak_rate)
        noisy, off = self.device.read is not None, self.circuit.comparator is not None
        if not noisy:
            return torch.addmm(offset, kept, matrix) if off else kept @ matrix
        noise = torch.randn((len(kept), self.layout.fan_out), generator=generator, dtype=self._dtype)
        noise.mul_(((kept * kept) @ by_row).sqrt_()[:, None]).mul_(by_neuron)
        return torch.addmm(noise.add_(offset) if off else noise, kept, matrix)

    def _array_by_array(self, lengths: Tensor, generator: torch.Generator | None) -> Tensor:
        """Every array read out by itself, then summed: ``[n, fan_in] → [n, fan_out]``."""
        potentials = self._on_integrators(lengths, generator) + self._offset[:, :, None]
        if self.circuit.conversion is not None:
            convert = TimeToDigital(self.full_scale, 2 ** int(self.circuit.conversion.bits.value))
            if self.circuit.jitter is not None:
                counts = self.circuit.jitter.ramp.si / self.circuit.conversion.clock.si
                potentials = potentials + counts * convert.step * _noise(potentials, generator)
            potentials = convert(potentials)
        return (potentials.sum(1) * self._place_value[:, None, None]).sum(0)

    def _on_integrators(self, lengths: Tensor, generator: torch.Generator | None) -> Tensor:
        """Potentials before read-out: ``[n, fan_in] → [slices, tiles, n, fan_out]``."""
        split = self._by_tile(lengths)
        limit = float("inf")
        if self.circuit.saturation is not None:
            limit = self.circuit.saturation.voltage.si / self.circuit.swing.si * self.full_scale
        potentials = self._solved(split, limit) if self._needs_patterns else self._multiplied(split, limit)
        if self.device.read is None:
            return potentials
        by_row, by_neuron = _outer_factors(self._read_variance)
        driven = (remembered(split, self._leak_rate) ** 2 @ by_row[..., None].to(split.dtype)).sqrt()
        return potentials + driven * by_neuron.sqrt()[:, :, None].to(split.dtype) * _noise(potentials, generator)

    def _multiplied(self, split: Tensor, limit: float) -> Tensor:
        if limit == float("inf"):
            return remembered(split, self._leak_rate) @ self.effective
        return saturating(split, self.effective, self._leak_rate, limit)

    def _solved(self, split: Tensor, limit: float) -> Tensor:
        """Pattern by pattern through the network of each array."""
        assert self.circuit.wires is not None
        volts = self.circuit.read_voltage.si
        unit = unit_conductance(self.layout, self.device) * volts
        alpha = self.device.nonlinearity.si if self.device.nonlinearity is not None else 0.0
        spare = self.layout.banks * self.layout.pairs - self.layout.fan_out
        gain = torch.nn.functional.pad(self.neurons.gain, (0, spare), value=1.0).unflatten(-1, (self.layout.banks, -1))
        shape = self.conductances.shape[:3]
        potentials = torch.zeros(*shape, split.shape[1], self.layout.pairs, dtype=torch.float64)
        for place in np.ndindex(*shape):
            network = Network(self.conductances[place].numpy(), self.circuit.wires, volts, alpha)
            rail = (limit * unit / gain[place]).numpy()
            charges = pattern_charges(split[place[1]].to(torch.float64).numpy(), network, self._leak_rate, rail)
            potentials[place] = torch.from_numpy(charges) / unit * gain[place]
        return potentials.transpose(2, 3).flatten(-2)[..., : self.layout.fan_out].to(self._dtype)

    @property
    def offset_potentials(self) -> np.ndarray:
        """What the comparators' offsets add to the answer, ``[fan_out]``."""
        return (self._offset * self._place_value[:, None, None]).sum((0, 1)).double().numpy()

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
    def _leak_rate(self) -> float:
        return self.step / self.circuit.leak.time_constant.si if self.circuit.leak is not None else 0.0

    @property
    def _pulse_jitter(self) -> float:
        return self.circuit.jitter.pulse.si / self.step if self.circuit.jitter is not None else 0.0

    @cached_property
    def _offset(self) -> Tensor:
        """Comparator offsets as potentials ``[slices, tiles, out]``."""
        return (self.neurons.offset / self.circuit.swing.si * self.full_scale).to(self._dtype)

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
        return kernel.reshape(-1, self.layout.fan_in).to(self._dtype)

    def _by_tile(self, lengths: Tensor) -> Tensor:
        """``[n, fan_in] → [tiles, n, rows]``."""
        spare = self.layout.tiles * self.layout.rows - self.layout.fan_in
        padded = torch.nn.functional.pad(lengths, (spare, 0))
        return padded.view(-1, self.layout.tiles, self.layout.rows).transpose(0, 1)

    def _flat(self, matrix: Tensor) -> Tensor:
        """``[tiles, rows, out] → [fan_in, out]``."""
        return matrix.flatten(0, 1)[-self.layout.fan_in :]


def _noise(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype)


def _outer_factors(variance: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column factors of the outer product with the same margins. ``[..., n, m] → [..., n], [..., m]``.

    The noise of a sum over many rows needs Σ_i κ_i² s_ij; the outer product spares that second matrix product. It is
    exact where all pairs are equally noisy (1-bit weights), and else right on average over rows and over columns.
    """
    total = variance.mean((-2, -1), keepdim=True).clamp(min=1e-60)
    return variance.mean(-1), (variance.mean(-2, keepdim=True) / total).squeeze(-2)
