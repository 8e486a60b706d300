"""The bill: energy of activities on a chip, by connection and category. A pure function; every count has a line.

All formulas are listed with their symbols in ``docs/energy.md``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from ..program.trace import DigitalTrace, Trace
from ..units import engineering
from .activity import Activity, populations
from .chip import Chip
from .computing import Line, capacitor, digital_lines, fire_lines, synapse_lines, unit_lines
from .mapping import Hardware, Mapping
from .movement import result_lines, spike_lines

CATEGORIES = (
    "computing", "spike_movement", "dense_movement", "weight_access", "kv_write", "kv_read", "msu_conduction",
    "msu_row_drivers", "msu_integrator", "msu_comparator", "msu_readout", "msu_control", "neuron_state", "thresholds",
    "digital_functions", "leakage",
)  # fmt: skip
"""Every category of a bill, in the order in which they are shown."""

PARTS = {
    "computing": ("computing",),
    "movement": ("spike_movement", "dense_movement"),
    "memory": ("weight_access", "kv_write", "kv_read", "neuron_state", "thresholds"),
    "cells and row drivers": ("msu_conduction", "msu_row_drivers"),
    "columns of synapse units": ("msu_integrator", "msu_comparator", "msu_readout", "msu_control"),
    "digital functions, leakage": ("digital_functions", "leakage"),
}
"""The parts of a bar and the categories in them: together all of them, and no more than eyes tell apart."""

WINDOWS_PER_BLOCK = 6
"""Windows that a token needs through one block: projections, qk, pv, output, ffn1, ffn2."""


@dataclass(frozen=True)
class Bill:
    """Energy of a run.

    Attributes:
        lines: J by (connection or digital step, category). latency: s, sequences one after the other. area: m².
        operations: synaptic operations. sequences, tokens: what ran.
    """

    hardware: Hardware
    lines: dict[tuple[str, str], float]
    latency: float
    area: float
    operations: float
    sequences: int
    tokens: int

    def __str__(self) -> str:
        """Energy, time and area of a sentence, then its categories, each with its share."""
        found = sorted(self.by_category.items(), key=lambda item: -item[1])
        rows = [f"  {engineering(j / self.sequences):>10}  {j / self.total:6.1%}  {name}" for name, j in found if j]
        seconds = engineering(self.latency / self.sequences, "s")
        head = f"{engineering(self.per_sentence)} and {seconds} a sentence, {self.area * 1e6:.3g} mm² ({self.hardware})"
        return "\n".join([head, *rows])

    @property
    def total(self) -> float:
        """J."""
        return sum(self.lines.values())

    @property
    def by_category(self) -> dict[str, float]:
        """J by category, all categories in order."""
        sums = dict.fromkeys(CATEGORIES, 0.0)
        for (_, category), joules in self.lines.items():
            sums[category] += joules
        return sums

    @property
    def by_connection(self) -> dict[str, float]:
        """J by connection or digital step."""
        sums: dict[str, float] = defaultdict(float)
        for (name, _), joules in self.lines.items():
            sums[name] += joules
        return dict(sums)

    def share(self, *categories: str) -> float:
        """Share of the total that falls to some categories."""
        return sum(self.by_category[c] for c in categories) / self.total if self.total else 0.0

    @property
    def movement_share(self) -> float:
        """Share of moving spikes and dense words over the mesh."""
        return self.share("spike_movement", "dense_movement")

    @property
    def power(self) -> float:
        """Mean power while running, W."""
        return self.total / self.latency if self.latency else 0.0

    @property
    def per_sentence(self) -> float:
        """J per sequence."""
        return self.total / self.sequences


def make_bill(activities: Sequence[Activity], trace: Trace, chip: Chip, mapping: Mapping) -> Bill:
    """Bill activities, and the digital steps of their trace, on a mapped chip."""
    found = bill_windows(activities, windows_of(trace), chip, mapping, trace.digital.values())
    return replace(found, sequences=trace.sequences, tokens=trace.tokens)


def bill_windows(
    activities: Sequence[Activity], windows: float, chip: Chip, mapping: Mapping, steps: Iterable[DigitalTrace] = ()
) -> Bill:
    """Bill activities of one sequence that take so many windows, one after the other, and digital steps."""
    longest: float = reduce(np.maximum, (window(a, chip, mapping) for a in activities))
    duration = windows * longest
    lines: dict[tuple[str, str], float] = defaultdict(float)
    for name, category, joules in _all_lines(activities, steps, chip, mapping):
        lines[name, category] += joules
    lines["leakage", "leakage"] = mapping.leakage * duration
    return Bill(
        hardware=mapping.hardware,
        lines=dict(lines),
        latency=duration,
        area=mapping.area
        + state_bits(activities, chip) * chip.state.area.si
        + extra_capacitors(activities, chip, mapping),
        operations=sum(a.operations for a in activities),
        sequences=1,
        tokens=1,
    )


def _all_lines(
    activities: Sequence[Activity], steps: Iterable[DigitalTrace], chip: Chip, mapping: Mapping
) -> Iterable[Line]:
    for activity in activities:
        analog = mapping.hardware == "msu" and not activity.dynamic
        yield from (unit_lines if analog else synapse_lines)(activity, chip, mapping)
        yield from result_lines(activity, chip, mapping)
    for sharing in populations(activities).values():
        yield from fire_lines(max(sharing, key=lambda a: a.windows), chip)
        yield from spike_lines(sharing, chip, mapping)
    for step in steps:
        yield from digital_lines(step, chip)


def state_bits(activities: Sequence[Activity], chip: Chip) -> float:
    """Memory of all neurons, bit: potentials of static connections, thresholds of what fires and of stored K and V."""
    bits = 0.0
    for sharing in populations(activities).values():
        a = sharing[0]
        words = a.threshold_words * a.fires
        bits += a.fan_in * a.heads * words * chip.state.threshold.si
    for a in activities:
        words = (1 if a.key_bits == 1 else 2) * (a.connection in ("key", "value"))
        bits += 0 if a.dynamic else a.fan_out * (chip.state.bits.si + words * chip.state.threshold.si)
    return bits


def extra_capacitors(activities: Sequence[Activity], chip: Chip, mapping: Mapping) -> float:
    """Area of what a code's capacitors are larger than those that the units come with, m²."""
    unit = chip.msu
    if mapping.hardware == "digital" or unit is None:
        return 0.0
    extra = sum(
        mapping.groups[a.name].count * unit.capacitors(capacitor(a, unit) - unit.capacitor.si)
        for a in activities
        if not a.dynamic
    )
    return extra


def windows_of(trace: Trace) -> int:
    """Windows of all sequences, blocks one after the other and tokens streaming through a block's stages.

    A block of n tokens that computes m of them takes n + m + :data:`WINDOWS_PER_BLOCK` − 2 windows: n to stream keys
    and values in, m more since no query can be answered before the last key is there. m is n, or 1 in a block that
    computes only the first token: its inputs still pass through, for keys and values, but only one query follows them.
    All windows last as long as the longest.
    """
    shape = trace.shape
    return sum(
        count * (length + shape.tokens(block, "query", length) + WINDOWS_PER_BLOCK - 2)
        for length, count in trace.lengths.items()
        for block in range(shape.layers)
    )


def window(a: Activity, chip: Chip, mapping: Mapping) -> float:
    """Mean window of a connection, s: its slots and the read-out behind them, or on a digital array one cycle per
    arriving row if that is longer."""
    if mapping.hardware == "msu" and not a.dynamic:
        assert chip.msu is not None
        binary = chip.msu.pulses == "binary" and a.form != "train"
        slots = a.level_bits if binary else max(a.steps, (1 << a.level_bits) - 1)
        return slots * chip.msu.slot.si + chip.msu.read_time.si
    groups = mapping.groups[a.name].row_groups if a.name in mapping.groups else 1
    rows = a.events / a.vectors / groups if a.vectors else 0.0
    longest: float = np.maximum(a.steps, rows) * chip.logic.cycle.si
    return longest
