"""What a pulse costs in an array, from the same device and circuit that compute: for whoever adds up an energy bill."""

from __future__ import annotations

from dataclasses import dataclass

from .circuit import Circuit
from .device import Device


@dataclass(frozen=True)
class ReadEnergy:
    """Energies in joule.

    Attributes:
        pair_step: one 1-bit pair driven for one slot: V² · (G_high + G_low) · slot. A spike of kernel κ over n outputs
            costs n · |κ| times this (κ in levels).
        integrator: charging one neuron's capacitor over the full swing (1-bit weights): full-scale charge times swing.
    """

    pair_step: float
    integrator: float


def read_energy(device: Device, circuit: Circuit, kernel_top: int = 15) -> ReadEnergy:
    """Energies of an array of ``device`` in ``circuit`` without wire losses."""
    volts, slot = circuit.read_voltage.si, circuit.slot.si
    charge = volts * slot * (device.high - device.low) * circuit.rows.value * kernel_top
    return ReadEnergy(pair_step=volts**2 * (device.high + device.low) * slot, integrator=charge * circuit.swing.si)
