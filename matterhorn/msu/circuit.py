"""Array and neuron circuit as data: geometry, drive, integrator, read-out. Each non-ideality has its own class."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeVar

from pydantic import Field, ValidationError, model_validator

from ..errors import InputError
from ..reading import Strict
from ..units import Quantity
from .device import Count, Device, Duration, Resistance, Share, Voltage


class Wires(Strict):
    """Resistance of one segment of a word line (row) and of a bit line (column).

    Rows are driven one segment before their first cell, and columns are read one segment after their last cell.
    ``undriven`` rows are held at 0 V or left floating.
    """

    word_line: Resistance
    bit_line: Resistance
    undriven: Literal["ground", "float"] = "ground"


class Saturation(Strict):
    """The integrator stops at ± this voltage and stays there until current of the other sign flows."""

    voltage: Voltage


class Mismatch(Strict):
    """Relative spread of the integration capacitors, one draw per neuron and array."""

    spread: Share


class Leak(Strict):
    """Time constant with which the integrator loses its charge."""

    time_constant: Duration


class Comparator(Strict):
    """Spread of the comparator's offset voltage, one draw per neuron and array."""

    offset: Voltage


class Jitter(Strict):
    """Spread of the length of a pulse, and of the time at which a comparator's output is recorded. Drawn anew each
    time.
    """

    pulse: Duration
    ramp: Duration


class Conversion(Strict):
    """Time-to-digital read-out: a ramp over ± swing in 2^bits counts of a clock."""

    bits: Count
    clock: Duration


class Circuit(Strict):
    """Arrays of ``rows`` word lines and ``columns`` bit lines (two per weight), with their neurons.

    A row is driven at ±``read_voltage`` for |κ| times ``slot`` (divided by the code's steps per level). The capacitor
    is sized so that the full scale of an array charges it to ``swing``. All other parts are optional.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    describes: str
    rows: Count
    columns: Count
    read_voltage: Voltage
    slot: Duration
    swing: Voltage
    wires: Wires | None = None
    saturation: Saturation | None = None
    mismatch: Mismatch | None = None
    leak: Leak | None = None
    comparator: Comparator | None = None
    jitter: Jitter | None = None
    conversion: Conversion | None = None

    @property
    def pairs(self) -> int:
        """Weights per row of one array. Each takes two bit lines."""
        return int(self.columns.value) // 2

    @model_validator(mode="after")
    def _sound(self) -> Circuit:
        if self.columns.value % 2:
            raise ValueError("columns: a weight takes two bit lines, give an even number")
        if max(self.rows.value, self.columns.value) > 1024:
            raise ValueError("rows and columns: at most 1024 each")
        if self.conversion is not None and self.conversion.bits.value > 16:
            raise ValueError("conversion.bits: at most 16")
        if self.saturation is not None and self.swing.si > self.saturation.voltage.si:
            raise ValueError(f"swing: {self.swing.text} lies beyond the rail, {self.saturation.voltage.text}")
        return self


def resized(circuit: Circuit, rows: int, columns: int) -> Circuit:
    """Return the same circuit with arrays of another size. ``columns`` is the number of bit lines."""
    sizes = {
        side: Quantity(value=count, unit="1", source="asked for: another array size")
        for side, count in (("rows", rows), ("columns", columns))
    }
    try:
        return Circuit.model_validate({**dict(circuit), **sizes})
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(problem, field="rows, columns") from error


class Conditions(NamedTuple):
    """A circuit in the units of a connection: steps of κ for times, weight times step of κ for potentials.

    Attributes:
        potential_per_volt: potential that one volt on an integrator stands for.
        rail: potential at which integrators stop; infinite if there is no rail.
        leak_rate: step of κ over leak time constant; 0 if there is no leak.
        droop: slot over leak time constant.
        pulse_jitter: standard deviation of the length of a pulse.
        ramp_jitter: standard deviation of the time at which a comparator's output is recorded, in slots.
        per_count: potential per count of the time-to-digital converter; 0 if there is none.
        half: half of the converter's counts.
        late: standard deviation of the converter's result due to jitter, as a potential.
        count_droop: the converter's clock over leak time constant.
    """

    potential_per_volt: float
    rail: float
    leak_rate: float
    droop: float
    pulse_jitter: float
    ramp_jitter: float
    per_count: float
    half: int
    late: float
    count_droop: float

    @classmethod
    def of(cls, circuit: Circuit, step: float, full_scale: float) -> Conditions:
        """Convert a circuit whose steps of κ last ``step`` seconds, and whose capacitors reach the full swing at the
        potential ``full_scale`` of an array.
        """
        per_volt, slot, conversion = full_scale / circuit.swing.si, circuit.slot.si, circuit.conversion
        rail = circuit.saturation.voltage.si * per_volt if circuit.saturation is not None else float("inf")
        forgets = circuit.leak.time_constant.si if circuit.leak is not None else float("inf")
        pulse, ramp = (circuit.jitter.pulse.si, circuit.jitter.ramp.si) if circuit.jitter is not None else (0.0, 0.0)
        half, clock = (
            (2 ** (int(conversion.bits.value) - 1), conversion.clock.si) if conversion is not None else (0, 1.0)
        )
        per_count = full_scale / half if half else 0.0
        times = step / forgets, slot / forgets, pulse / step, ramp / slot
        return cls(per_volt, rail, *times, per_count, half, ramp / clock * per_count, clock / forgets)


DEVICE_PARTS = ("programming", "read", "drift", "stuck", "nonlinearity")
CIRCUIT_PARTS = ("wires", "saturation", "mismatch", "leak", "comparator", "jitter", "conversion")
PARTS = DEVICE_PARTS + CIRCUIT_PARTS
"""All non-idealities. Each can be switched on alone."""

Spec = TypeVar("Spec", Device, Circuit)


def only(spec: Spec, *parts: str) -> Spec:
    """Return the device or circuit with only these non-idealities; ``only(device)`` has none."""
    for part in parts:
        if part not in PARTS:
            raise InputError(f"no part {part!r}", field="parts", cure=f"give some of {', '.join(PARTS)}")
    mine = DEVICE_PARTS if isinstance(spec, Device) else CIRCUIT_PARTS
    return spec.model_copy(update={part: None for part in mine if part not in parts})


DRAWN = ("programming", "read", "drift", "stuck", "mismatch", "comparator", "jitter")
"""Parts with random draws, which make chips or reads differ."""


def active(device: Device, circuit: Circuit) -> list[str]:
    """Return the parts that have an effect. Without any, a chip computes exact integer results."""
    idle = set()
    if device.programming is not None and not any(device.programming.spread.coefficients):
        idle.add("programming")
    if device.stuck is not None and device.stuck.low.si == device.stuck.high.si == 0:
        idle.add("stuck")
    return [part for part in PARTS if getattr(device, part, getattr(circuit, part, None)) and part not in idle]
