"""Comparisons on one chip: all codes on both kinds of array, the waterfall, the tornado and the break-even maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..quantity import si_factor
from ..trace import Trace
from .activity import CODINGS, Activity, Coding, coding, recode, silent_share
from .bill import Bill, make_bill
from .chip import Chip
from .library import with_value
from .mapping import Hardware, Mapping, hardware_of, place
from .shapes import Shape, lay

SWING = 0.5
"""Relative change of a constant in the tornado."""


@dataclass(frozen=True)
class Encoding:
    """One code on one kind of array, with its bill."""

    coding: Coding
    hardware: Hardware
    silent_share: float
    bill: Bill


@dataclass(frozen=True)
class Swing:
    """Total energy (J) with one constant ``SWING`` lower and higher."""

    key: str
    low: float
    high: float

    @property
    def width(self) -> float:
        """Distance between the two, J."""
        return abs(self.high - self.low)


def map_trace(trace: Trace, chip: Chip, hardware: Hardware) -> Mapping:
    """Placement of a trace's network."""
    return place(recode(trace, CODINGS[0]), chip, hardware, max(trace.lengths))


def encodings(trace: Trace, chip: Chip) -> list[Encoding]:
    """Bills of all codes on all kinds of array of a chip."""
    activities = {code.name: recode(trace, code) for code in CODINGS}
    bills = []
    for hardware in hardware_of(chip):
        mapping = map_trace(trace, chip, hardware)
        for code in CODINGS:
            acts = activities[code.name]
            bills.append(Encoding(code, hardware, silent_share(acts), make_bill(acts, trace, chip, mapping)))
    return bills


def own_name(trace: Trace, *, per_neuron: bool | None = None) -> str:
    """Name of the code that the trace's network was made for: its widest dead zone; per neuron if levels are."""
    connections = trace.connections.values()
    zone = min(3, max(c.dead_zone for c in connections))
    rows = any(len(c.silent) > 1 for c in connections) if per_neuron is None else per_neuron
    return f"mttfs-k{zone}{'-neuron' if rows else ''}"


def waterfall(trace: Trace, chip: Chip) -> list[tuple[str, float]]:
    """Energy (J) step by step: plain TTFS, mask, dead zone, silence per neuron, synapse units where there are any."""
    zone = own_name(trace, per_neuron=False)
    steps: list[tuple[str, str, Hardware]] = [
        ("TTFS", "ttfs", "digital"),
        ("mask", "mttfs-k0", "digital"),
        ("dead zone", zone, "digital"),
        ("silence per neuron", own_name(trace, per_neuron=True), "digital"),
    ]
    if chip.msu:
        steps.append(("synapse units", own_name(trace, per_neuron=True), "msu"))
    mappings = {hardware: map_trace(trace, chip, hardware) for hardware in hardware_of(chip)}
    return [
        (label, make_bill(recode(trace, coding(name)), trace, chip, mappings[hardware]).total)
        for label, name, hardware in steps
    ]


def tornado(
    trace: Trace, activities: Sequence[Activity], chip: Chip, hardware: Hardware, count: int = 10
) -> list[Swing]:
    """The constants that move the total most when each alone changes by ±50 %, widest first.

    Sizes (rows, columns, bits, areas) would change the mapping and are left out.
    """
    mapping = map_trace(trace, chip, hardware)
    swings = []
    for key, quantity in chip.quantities():
        if si_factor(quantity.unit)[1] in ("1", "bit", "m", "m2") and not key.endswith(("noc.hops",)):
            continue
        low, high = (
            make_bill(activities, trace, with_value(chip, key, quantity.si * factor), mapping).total
            for factor in (1 - SWING, 1 + SWING)
        )
        swings.append(Swing(key, low, high))
    return sorted(swings, key=lambda swing: -swing.width)[:count]


def with_silence(activities: Sequence[Activity], share: float) -> list[Activity]:
    """The same activities, spikes scaled so that every population has this silent share."""
    changed = []
    for a in activities:
        scale = (1 - share) * a.windows / a.events if a.events else 0.0
        changed.append(replace(a, events=a.events * scale, kernel=a.kernel * scale, operations=a.operations * scale,
                               active=a.active * scale))  # fmt: skip
    return changed


def break_even_hops(trace: Trace, chip: Chip, silences: Sequence[float], factors: Sequence[float]) -> list[list[float]]:
    """Energy of masked spikes over dense words, both digital: ``[factor of the hop energies][silent share]``."""
    mapping = map_trace(trace, chip, "digital")
    spikes, words = recode(trace, coding(own_name(trace))), recode(trace, coding("dense"))
    rows = []
    for factor in factors:
        scaled = chip
        for key in ("noc.hop.energy", "noc.hop.bit", "noc.dense", "noc.wire"):
            value = dict(chip.quantities())[key].si
            scaled = with_value(scaled, key, value * factor)
        dense = make_bill(words, trace, scaled, mapping).total
        rows.append([make_bill(with_silence(spikes, s), trace, scaled, mapping).total / dense for s in silences])
    return rows


def break_even_lengths(trace: Trace, shape: Shape, chip: Chip, silences: Sequence[float], lengths: Sequence[int]
                       ) -> list[list[float]]:  # fmt: skip
    """The same ratio for sentences of several lengths: ``[length][silent share]``."""
    rows = []
    for length in lengths:
        rows += break_even_hops(lay(trace, shape, length), chip, silences, [1.0])
    return rows
