"""The bill: energy of activities on a chip, by connection and category. A pure function; every count has a line.

All formulas are listed with their symbols in ``docs/energy.md``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..trace import DigitalTrace, Trace
from .activity import Activity, Line
from .chip import Chip
from .computing import digital_lines, fire_lines, synapse_lines, unit_lines
from .mapping import Hardware, Mapping
from .movement import result_lines, spike_lines
from .timing import latency

CATEGORIES = (
    "computing",
    "spike_movement",
    "dense_movement",
    "weight_access",
    "kv_write",
    "kv_read",
    "msu_conduction",
    "msu_row_drivers",
    "msu_integrator",
    "msu_comparator",
    "msu_readout",
    "msu_control",
    "neuron_state",
    "digital_functions",
    "leakage",
)
"""Every category of a bill, in the order in which they are shown."""

MOVEMENT = ("spike_movement", "dense_movement")
"""Categories that move data over the mesh."""


@dataclass(frozen=True)
class Bill:
    """Energy of a run.

    Attributes:
        lines: J by (connection, category). latency: s, sequences one after the other. area: m².
        operations: synaptic operations. sequences, tokens: what ran.
    """

    hardware: Hardware
    lines: dict[tuple[str, str], float]
    latency: float
    area: float
    operations: float
    sequences: int
    tokens: int

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
        """Share of spike and dense movement."""
        return self.share(*MOVEMENT)

    @property
    def weight_share(self) -> float:
        """Share of reading weights from memory."""
        return self.share("weight_access")

    @property
    def power(self) -> float:
        """Mean power while running, W."""
        return self.total / self.latency if self.latency else 0.0

    @property
    def per_sentence(self) -> float:
        """J per sequence."""
        return self.total / self.sequences

    @property
    def per_token(self) -> float:
        """J per token."""
        return self.total / self.tokens

    @property
    def per_operation(self) -> float:
        """J per synaptic operation that the events cause."""
        return self.total / self.operations if self.operations else 0.0


def make_bill(activities: Sequence[Activity], trace: Trace, chip: Chip, mapping: Mapping) -> Bill:
    """Bill activities, and the digital steps of their trace, on a mapped chip."""
    duration = latency(activities, trace, chip, mapping)
    lines: dict[tuple[str, str], float] = defaultdict(float)
    for name, category, joules in _all_lines(activities, trace.digital.values(), chip, mapping):
        lines[name, category] += joules
    lines["leakage", "leakage"] = mapping.leakage * duration
    return Bill(
        hardware=mapping.hardware,
        lines=dict(lines),
        latency=duration,
        area=mapping.area,
        operations=sum(a.operations for a in activities),
        sequences=trace.sequences,
        tokens=trace.tokens,
    )


def _all_lines(
    activities: Sequence[Activity], digital: Iterable[DigitalTrace], chip: Chip, mapping: Mapping
) -> Iterable[Line]:
    for activity in activities:
        analog = mapping.hardware == "msu" and not activity.dynamic
        yield from (unit_lines if analog else synapse_lines)(activity, chip, mapping)
        yield from result_lines(activity, chip, mapping)
    for sharing in populations(activities).values():
        yield from fire_lines(sharing[0], chip)
        yield from spike_lines(sharing, chip, mapping)
    for step in digital:
        yield from digital_lines(step, chip)


def populations(activities: Sequence[Activity]) -> dict[str, list[Activity]]:
    """Connections by the population that feeds them: one spike, several targets."""
    groups: dict[str, list[Activity]] = defaultdict(list)
    for activity in activities:
        groups[activity.population].append(activity)
    for name, sharing in groups.items():
        if len({(a.windows, a.events) for a in sharing}) > 1:
            raise InputError(
                "connections of one population count different spikes", field=name, cure="record the trace anew"
            )
    return dict(groups)
