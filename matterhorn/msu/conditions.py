"""A circuit in the units of a connection: kernel steps for times, weight times kernel step for potentials."""

from __future__ import annotations

from dataclasses import dataclass

from .circuit import Circuit
from .readout import TimeToDigital


@dataclass(frozen=True)
class Conditions:
    """What a circuit does to pulses and potentials.

    Attributes:
        step: duration of one kernel step, s.
        full_scale: potential of one array that charges its capacitor to the swing.
    """

    circuit: Circuit
    step: float
    full_scale: float

    @property
    def leak_rate(self) -> float:
        """Kernel step over leak time constant; 0 for no leak."""
        return self.step / self.circuit.leak.time_constant.si if self.circuit.leak is not None else 0.0

    @property
    def droop(self) -> float:
        """Slot over leak time constant."""
        return self.leak_rate * self.circuit.slot.si / self.step

    @property
    def pulse_jitter(self) -> float:
        """Spread of the length of a pulse, in kernel steps."""
        return self.circuit.jitter.pulse.si / self.step if self.circuit.jitter is not None else 0.0

    @property
    def ramp_jitter(self) -> float:
        """Spread of the moment at which a comparator's answer is noted, s."""
        return self.circuit.jitter.ramp.si if self.circuit.jitter is not None else 0.0

    @property
    def rail(self) -> float:
        """Potential at which integrators stop; infinite for none."""
        if self.circuit.saturation is None:
            return float("inf")
        return self.volts(self.circuit.saturation.voltage.si)

    @property
    def converter(self) -> TimeToDigital | None:
        """The time-to-digital converter, if there is one."""
        if self.circuit.conversion is None:
            return None
        return TimeToDigital(self.full_scale, 2 ** int(self.circuit.conversion.bits.value))

    @property
    def conversion_jitter(self) -> float:
        """Spread of a converter's answer, as a potential."""
        converter = self.converter
        if converter is None or self.circuit.conversion is None:
            return 0.0
        return self.ramp_jitter / self.circuit.conversion.clock.si * converter.step

    def volts(self, volts: float) -> float:
        """A voltage of the integrator as a potential."""
        return volts / self.circuit.swing.si * self.full_scale
