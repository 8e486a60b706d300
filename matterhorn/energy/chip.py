"""The chip: energies, geometry and network. Each number has a unit and a source (see ``chips/*.yaml``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator

from ..reading import Strict
from ..units import Quantity, within


def _whole(quantity: Quantity) -> Quantity:
    if quantity.si % 1:
        raise ValueError(f"{quantity.text} is no whole number")
    return quantity


Energy = Annotated[Quantity, within("J", 0, 1e-6)]
BitEnergy = Annotated[Quantity, within("J/bit", 0, 1e-6)]
WireEnergy = Annotated[Quantity, within("J/bit/m", 0, 1e-6)]
Count = Annotated[Quantity, within("1", 0, 1e6)]
Positive = Annotated[Quantity, within("1", 1, 1e6)]
Whole = Annotated[Positive, AfterValidator(_whole)]
Bits = Annotated[Quantity, within("bit", 0, 1e12)]
Size = Annotated[Quantity, within("bit", 1, 1e12)]
Time = Annotated[Quantity, within("s", 1e-12, 1e-3)]
Area = Annotated[Quantity, within("m2", 1e-12, 1.0)]
BitArea = Annotated[Quantity, within("m2/bit", 0, 1e-9)]
Length = Annotated[Quantity, within("m", 1e-9, 1e-6)]
Power = Annotated[Quantity, within("W", 0, 1e3)]
Voltage = Annotated[Quantity, within("V", 1e-3, 10)]
Capacitance = Annotated[Quantity, within("F", 1e-18, 1e-6)]
Density = Annotated[Quantity, within("F/m2", 1e-6, 1.0)]
Conductance = Annotated[Quantity, within("S", 0, 1)]


class Logic(Strict):
    """Digital arithmetic. ``customary`` is the energy of the one addition that others use for their whole bill."""

    accumulate: Energy
    compare: Energy
    subtract: Energy
    add: Energy
    multiply: Energy
    lookup: Energy
    customary: Energy
    cycle: Time


class Core(Strict):
    """A digital tile: an SRAM that reads one row of weights per cycle, and an adder per column."""

    rows: Whole
    columns: Whole
    area: Area
    leakage: Power


class Weights(Strict):
    """Weight memory.

    ``large`` and ``far`` are the costs of a read from a memory of 1 MB and from off the chip. ``reuse`` is the number
    of windows of a dense network that share one read.
    """

    read: BitEnergy
    large: BitEnergy
    far: BitEnergy
    reuse: Positive


class State(Strict):
    """Memory of the neurons: potentials of ``bits`` bits and thresholds of ``threshold`` bits. ``area`` is that of one
    bit.
    """

    read: BitEnergy
    write: BitEnergy
    bits: Bits
    threshold: Bits
    area: BitArea


class KeyValue(Strict):
    """Memory of the stored keys and values in an attention tile."""

    read: BitEnergy
    write: BitEnergy
    size: Size


class Hop(Strict):
    """One hop of a spike packet: ``energy`` per packet, ``bit`` per bit of it, and ``header`` bits in addition to the
    address.
    """

    energy: Energy
    bit: BitEnergy
    header: Bits


class Network(Strict):
    """The mesh.

    ``dense`` is per bit of a packed dense word and hop. ``wire`` is added per bit and tile edge. ``message`` is the
    cost of a spike packet per destination tile, in addition to its hops. ``route`` states whether hops are counted on
    the placed mesh or fixed (``hops`` per delivery). ``delivery`` states whether a packet serves a whole array or one
    synapse. ``train`` states whether the spikes of a rate code always travel as packets, or as raw bits of the train if
    these are cheaper.
    """

    hop: Hop
    message: Energy
    dense: BitEnergy
    wire: WireEnergy
    hops: Count
    route: Literal["counted", "fixed"]
    train: Literal["packet", "cheaper"]
    delivery: Literal["array", "synapse"]


class Mesh(Strict):
    """Largest mesh, and largest die. No tile may exceed the die. A network that exceeds it is noted, as it takes
    several dies.
    """

    rows: Whole
    columns: Whole
    area: Area


class Msu(Strict):
    """Memristive synapse unit: ``stacked`` arrays of rows × columns pairs, read for |κ| slots at ``voltage``.

    A linear regulator makes the read voltage from ``supply``. A column's current, divided by ``attenuation``, charges a
    ``capacitor`` of ``capacitor_density`` up to ``swing``. Converters need ``read_time`` after the window. ``pulses``
    states whether an event drives its row for |κ| ``slots``, or for one slot per set bit of |κ| (``binary``), with the
    charge halved from each bit to the next. The capacitor has the same size in both cases, so as to resolve the same
    potentials.
    """

    rows: Whole
    columns: Whole
    stacked: Whole
    voltage: Voltage
    supply: Voltage
    g_on: Conductance
    g_off: Conductance
    slot: Time
    attenuation: Positive
    capacitor: Capacitance
    swing: Voltage
    capacitor_density: Density
    row_driver: Energy
    integrator: Energy
    comparator: Energy
    readout: Energy
    read_time: Time
    control: Energy
    pulses: Literal["slots", "binary"] = "slots"
    area: Area
    leakage: Power

    @property
    def unit_charge(self) -> float:
        """Charge that one slot of one row adds to a column's capacitor, in C."""
        return self.voltage.si * (self.g_on.si - self.g_off.si) * self.slot.si / self.attenuation.si

    @property
    def largest_potential(self) -> float:
        """Potential that fills the capacitor, in slots of one row."""
        return self.capacitor.si * self.swing.si / self.unit_charge

    def capacitors(self, farads: float) -> float:
        """Area of all capacitors of a unit with this capacitance (F) per column, in m²."""
        return self.stacked.si * self.columns.si * farads / self.capacitor_density.si


class Step(Strict):
    """Operations of a digital function, per element and per vector."""

    adds: Count
    multiplies: Count
    lookups: Count
    vector_adds: Count
    vector_lookups: Count


class Digital(Strict):
    """The digital functions of a transformer. The head is counted per product."""

    embedding: Step
    layer_norm: Step
    position_bias: Step
    softmax: Step
    residual: Step
    activation: Step
    quantize: Step
    head: Step


class Macro(Strict):
    """A dense compute-in-memory macro for dense networks. ``product`` is the energy of a product of a 4-bit level and
    a bit.
    """

    product: Energy


class Embedding(Strict):
    """The embedding table: ``bits`` per element."""

    read: BitEnergy
    bits: Bits


class Chip(Strict):
    """A whole chip. ``msu`` is None if it has no synapse units. ``non_commercial`` lists keys under such a license."""

    name: str
    title: str
    about: str
    node: Length
    non_commercial: tuple[str, ...] = ()
    logic: Logic
    core: Core
    weights: Weights
    state: State
    kv: KeyValue
    noc: Network
    mesh: Mesh
    msu: Msu | None = None
    digital: Digital
    embedding: Embedding
    macro: Macro

    @model_validator(mode="after")
    def _fits(self) -> Chip:
        tiles = {"core.area": self.core.area, **({"msu.area": self.msu.area} if self.msu else {})}
        for key, area in tiles.items():
            if area.si > self.mesh.area.si:
                raise ValueError(f"{key}: {area.text} is larger than the chip, allowed range 0 … {self.mesh.area.text}")
        if self.msu and self.msu.g_off.si >= self.msu.g_on.si:
            raise ValueError(f"msu.g_off: {self.msu.g_off.text} is not below msu.g_on, {self.msu.g_on.text}")
        if self.msu and self.msu.supply.si < self.msu.voltage.si:
            raise ValueError(f"msu.supply: {self.msu.supply.text} is below msu.voltage, {self.msu.voltage.text}")
        if self.msu and self.msu.swing.si > self.msu.supply.si:
            raise ValueError(f"msu.swing: {self.msu.swing.text} is above msu.supply, {self.msu.supply.text}")
        if self.msu and self.msu.capacitors(self.msu.capacitor.si) > self.msu.area.si:
            least = self.msu.capacitors(self.msu.capacitor.si) * 1e6
            raise ValueError(f"msu.area: {self.msu.area.text} is less than its capacitors take, {least:.3g} mm2")
        return self

    def quantities(self) -> Iterator[tuple[str, Quantity]]:
        """Yield all numbers with their dotted keys."""
        yield from _walk(self, "")


def _walk(part: Strict, prefix: str) -> Iterator[tuple[str, Quantity]]:
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Quantity):
            yield prefix + name, value
        elif isinstance(value, Strict):
            yield from _walk(value, f"{prefix}{name}.")
