"""The bill: energy of activities on a chip, by connection and category. A pure function of its inputs.

``docs/energy.md`` lists all formulas and their symbols.
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
"""All categories of a bill, in display order."""

PARTS = {
    "computing": ("computing",),
    "movement": ("spike_movement", "dense_movement"),
    "memory": ("weight_access", "kv_write", "kv_read", "neuron_state", "thresholds"),
    "cells and row drivers": ("msu_conduction", "msu_row_drivers"),
    "columns of synapse units": ("msu_integrator", "msu_comparator", "msu_readout", "msu_control"),
    "digital functions, leakage": ("digital_functions", "leakage"),
}
"""Parts of a bar in a plot, and the categories that each contains. Together they cover all categories; there are few
enough to tell apart.
"""

WINDOWS_PER_BLOCK = 6
"""Windows that a token takes to pass through one block: projections, qk, pv, output, ffn1, ffn2."""


@dataclass(frozen=True)
class Bill:
    """Energy, time and area of a run.

    Attributes:
        hardware: ``digital`` or ``msu``.
        lines: J by (connection or digital step, category).
        latency: time of all sequences, one after the other, in s.
        area: area of the hardware that is used, in m².
        operations: number of synaptic operations.
        sequences, tokens: number of sequences and tokens that ran.
    """

    hardware: Hardware
    lines: dict[tuple[str, str], float]
    latency: float
    area: float
    operations: float
    sequences: int
    tokens: int

    def __str__(self) -> str:
        """Summarize energy, time and area per sentence, then list the categories with their shares."""
        found = sorted(self.by_category.items(), key=lambda item: -item[1])
        rows = [f"  {engineering(j / self.sequences):>10}  {j / self.total:6.1%}  {name}" for name, j in found if j]
        seconds = engineering(self.latency / self.sequences, "s")
        head = f"{engineering(self.per_sentence)} and {seconds} a sentence, {self.area * 1e6:.3g} mm² ({self.hardware})"
        return "\n".join([head, *rows])

    @property
    def total(self) -> float:
        """Total energy in J."""
        return sum(self.lines.values())

    @property
    def by_category(self) -> dict[str, float]:
        """J by category, with all categories in order."""
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
        """Share of the total energy that some categories have, from 0 to 1."""
        return sum(self.by_category[c] for c in categories) / self.total if self.total else 0.0

    @property
    def movement_share(self) -> float:
        """Share of the total energy that moves spikes and dense words over the mesh."""
        return self.share("spike_movement", "dense_movement")

    @property
    def power(self) -> float:
        """Mean power while running, in W."""
        return self.total / self.latency if self.latency else 0.0

    @property
    def per_sentence(self) -> float:
        """Energy per sequence, in J."""
        return self.total / self.sequences


def make_bill(activities: Sequence[Activity], trace: Trace, chip: Chip, mapping: Mapping) -> Bill:
    """Bill activities, and the digital steps of their trace, on a mapped chip."""
    found = bill_windows(activities, windows_of(trace), chip, mapping, trace.digital.values())
    return replace(found, sequences=trace.sequences, tokens=trace.tokens)


def bill_windows(
    activities: Sequence[Activity], windows: float, chip: Chip, mapping: Mapping, steps: Iterable[DigitalTrace] = ()
) -> Bill:
    """Bill the activities of one sequence, and digital steps.

    ``windows``: number of windows that run one after the other.
    """
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
    """Memory of all neurons, in bits.

    It holds the potentials of static connections, and the thresholds of neurons that fire and of stored K and V.
    """
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
    """Area, in m², by which the capacitors that a code needs exceed those that the synapse units include."""
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
    """Number of windows of all sequences.

    Blocks run one after the other, and tokens stream through the stages of a block. A block over n tokens that computes
    m of them takes n + m + :data:`WINDOWS_PER_BLOCK` − 2 windows. It takes n windows to stream in keys and values, and
    m more because no query can be answered before the last key is there. In most blocks m = n. In a block that computes
    only the first token, m = 1: all its inputs still pass through for keys and values, but only one query follows. All
    windows last as long as the longest one.
    """
    shape = trace.shape
    return sum(
        count * (length + shape.tokens(block, "query", length) + WINDOWS_PER_BLOCK - 2)
        for length, count in trace.lengths.items()
        for block in range(shape.layers)
    )


def window(a: Activity, chip: Chip, mapping: Mapping) -> float:
    """Mean duration of a connection's window, in s.

    On synapse units it is all slots plus the read-out. On a digital array it is one cycle per slot, or one cycle per
    arriving row if that takes longer.
    """
    if mapping.hardware == "msu" and not a.dynamic:
        assert chip.msu is not None
        binary = chip.msu.pulses == "binary" and a.form != "train"
        slots = a.level_bits if binary else max(a.steps, (1 << a.level_bits) - 1)
        return slots * chip.msu.slot.si + chip.msu.read_time.si
    groups = mapping.groups[a.name].row_groups if a.name in mapping.groups else 1
    rows = a.events / a.vectors / groups if a.vectors else 0.0
    longest: float = np.maximum(a.steps, rows) * chip.logic.cycle.si
    return longest
