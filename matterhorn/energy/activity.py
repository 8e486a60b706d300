"""What a connection does under a code. These counts are what a bill is made from.

Pure functions re-code the counts of a trace to other codes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..coding import most_frequent
from ..errors import InputError
from ..program.trace import ConnectionTrace, Trace
from ..topology import DYNAMIC, POPULATION, SOURCE, Site
from .codings import Coding, Form


@dataclass(frozen=True)
class Activity:
    """Counts of one connection under one code, over all sequences.

    Attributes:
        vectors: input vectors, i.e. windows over neurons (pv: one per token and head).
        windows: neuron-windows that it reads. products: those of a dense network.
        adds: accumulates per synaptic operation. steps: time steps per window (0 for words).
        events: spikes (for words: values sent). kappa: Σ|κ| in levels, i.e. slots for which rows are driven.
        operations: synaptic operations caused. active: windows that drive a row at all.
        offset: additions for the silent level of a dynamic connection.
        key_bits: of a stored K or V element. sign_bits: of a spike packet (ternary spikes).
        digits: pairs of a weight on a synapse unit: one per bit, but a single one for −1, 0, 1. zeros: share of weights
            that are 0.
        squares: Σκ² over windows, in levels squared: what potentials spread by.
        pulses: set bits of |κ| over windows, i.e. pulses that drive rows where these have binary weight (of a train one
            a spike).
        compares: of its source's potentials with thresholds. threshold_words: that a source neuron reads in a window.
    """

    block: int
    connection: str
    form: Form
    fan_in: int
    fan_out: int
    heads: int
    level_bits: int
    operand_bits: int
    vectors: float
    windows: float
    products: float
    adds: int
    steps: int
    events: float = 0.0
    kappa: float = 0.0
    operations: float = 0.0
    active: float = 0.0
    offset: float = 0.0
    key_bits: int = 1
    sign_bits: int = 0
    digits: int = 1
    zeros: float = 0.0
    squares: float = 0.0
    pulses: float = 0.0
    compares: float = 0.0
    threshold_words: int = 0

    @cached_property
    def name(self) -> str:
        """``block.<i>.<connection>``."""
        return str(Site(self.block, self.connection))

    @cached_property
    def source(self) -> Site:
        """Name of the population that feeds the connection."""
        return Site(self.block, SOURCE[self.connection])

    @property
    def fires(self) -> bool:
        """Whether levels of its source come straight from potentials, rather than from a digital step."""
        return POPULATION[self.source.part].fires

    @property
    def dynamic(self) -> bool:
        """Whether the stored operand is K or V."""
        return self.connection in DYNAMIC

    @property
    def fan(self) -> float:
        """Synapses that one event reaches."""
        return self.products / self.windows if self.windows else 0.0

    @property
    def outputs(self) -> float:
        """Number of output neuron-windows. Every input vector makes one output vector."""
        return self.vectors * self.fan


def as_traced(trace: Trace) -> list[Activity]:
    """Return activities exactly as they were counted while the program ran."""
    return [
        replace(
            _frame(c, "spike", trace), events=float(c.events), kappa=float(c.kappa_sum),
            operations=float(c.accumulates), active=float(c.events), compares=_compares(c, c.silent, c.dead_zone),
            squares=_over_windows(c, np.square(distance)), pulses=_over_windows(c, set_bits(distance)),
        )
        for c in trace.connections.values()
        for distance in [_distances(c, c.silent[:, None], c.dead_zone)]
    ]  # fmt: skip


def recode(trace: Trace, code: Coding) -> list[Activity]:
    """Return the activities that would result if the same levels were sent by another code.

    The histogram of levels before masking gives events and Σ|κ|. Operations are events times the mean number of
    synapses per neuron. The levels are those of a network that was trained with its own dead zone; re-coding cannot
    change that.
    """
    masked = any(c.silent.any() for c in trace.connections.values())
    sources: dict[Site, list[ConnectionTrace]] = defaultdict(list)
    for c in trace.connections.values():
        sources[Site(c.block, c.population)].append(c)
    silent = {
        site: np.zeros((1, 1), np.int64) if code.name in ("rate", "ttfs")
        else silent_levels(max(readers, key=lambda c: c.windows), per_neuron=code.per_neuron, own=masked)
        for site, readers in sources.items()
    }  # fmt: skip
    return [_recoded(c, code, silent[Site(c.block, c.population)], trace) for c in trace.connections.values()]


def silent_levels(c: ConnectionTrace, *, per_neuron: bool, own: bool) -> NDArray[np.int64]:
    """Return the silent level of each row ``[rows, 1]``, or of the tensor ``[1, 1]``.

    With ``own``, it is the network's own, chosen on other data, if it has this granularity. Otherwise it is the most
    frequent level of this data, the lowest if several. Probabilities have one level in either case, as keys differ.
    """
    rows = per_neuron and c.connection != "pv"
    if own and len(c.silent) == (len(c.histogram) if rows else 1):
        return c.silent[:, None]
    levels: NDArray[np.int64] = most_frequent(c.histogram if rows else c.histogram.sum(0, keepdims=True))
    return levels[:, None]


def _frame(c: ConnectionTrace, form: Form, trace: Trace) -> Activity:
    """Return what no code changes."""
    stored = trace.connections.get(str(Site(c.block, "qk")), c)
    top = 2**c.level_bits - 1
    read = sum(n * trace.shape.tokens(c.block, c.connection, length) for length, n in trace.lengths.items())
    return Activity(
        block=c.block, connection=c.connection, form=form, fan_in=c.fan_in, fan_out=c.fan_out, heads=c.heads,
        level_bits=c.level_bits, operand_bits=c.operand_bits, vectors=float(read * c.heads), windows=float(c.windows),
        products=float(c.products), adds=1 if form == "train" else min(c.level_bits, c.digits or c.operand_bits),
        steps={"word": 0, "train": top, "spike": top + 1}[form], offset=float(c.offset_accumulates),
        key_bits=stored.operand_bits, digits=c.digits or c.operand_bits, zeros=c.zeros,
        compares=float(c.windows * top), threshold_words=c.threshold_words,
    )  # fmt: skip


def _distances(c: ConnectionTrace, silent: NDArray[np.int64], dead_zone: int) -> NDArray[np.int64]:
    """|κ| in levels, ``[rows, T + 1]`` or ``[1, T + 1]``; 0 inside the dead zone."""
    distance: NDArray[np.int64] = np.abs(np.arange(c.histogram.shape[1]) - silent)
    return distance * (distance > dead_zone)


def set_bits(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the set bits of nonnegative integers."""
    table = np.array([number.bit_count() for number in range(int(numbers.max(initial=0)) + 1)])
    bits: NDArray[np.int64] = table[numbers]
    return bits


def _over_windows(c: ConnectionTrace, weight: NDArray[Any]) -> float:
    """Sum a weight of levels over all windows."""
    total = float(c.histogram.sum())
    return float((c.histogram * weight).sum()) * (c.windows / total) if total else 0.0


def _compares(c: ConnectionTrace, silent: NDArray[np.int64], dead_zone: int) -> float:
    """Count comparisons of potentials with a falling threshold: one in every slot in which the result can decide on a
    spike, i.e. above the dead zone and from its lower edge downward.
    """
    top = c.histogram.shape[1] - 1
    each = np.maximum(0, top - silent - dead_zone) + np.maximum(0, silent - dead_zone)
    return float(each.mean()) * c.windows


def _recoded(c: ConnectionTrace, code: Coding, silent: NDArray[np.int64], trace: Trace) -> Activity:
    """Spikes: one where |q − m| > k. Trains: level q is q spikes, each drives its row for one slot. Words: all travel;
    on an analog array one drives its row relative to the silent level (cheapest); they are rescaled and rounded, by two
    words, whatever thresholds this network needs."""
    frame = _frame(c, code.form, trace)
    distance = _distances(c, silent, code.dead_zone)
    weights = (distance > 0, distance, distance**2, distance if code.form == "train" else set_bits(distance))
    active, kappa, squares, pulses = (_over_windows(c, of) for of in weights)
    events = {"word": frame.windows, "train": kappa, "spike": active}[code.form]
    offset = 0.0 if code.form == "word" else frame.offset
    compares = _compares(c, silent, code.dead_zone) if code.form == "spike" else frame.compares
    words = min(2, frame.threshold_words) if code.form == "word" else frame.threshold_words
    return replace(
        frame, events=events, kappa=kappa, operations=events * frame.fan, active=active, offset=offset,
        compares=compares, squares=squares, pulses=pulses, threshold_words=words,
    )  # fmt: skip


def scaled(a: Activity, factor: float | NDArray[np.float64]) -> Activity:
    """Return the same activity with its spikes multiplied by a factor: those of a train, or at most one in a window."""
    if a.form == "spike":
        factor = np.minimum(factor, a.windows / a.events if a.events else 1.0)
    counts = {name: getattr(a, name) * factor for name in ("events", "kappa", "operations", "squares", "pulses")}
    return replace(a, active=np.minimum(a.windows, counts["events"]), **counts)


def silent_share(activities: Sequence[Activity]) -> float:
    """Share of neuron-windows without a spike; 0 for dense words."""
    active = sum(a.windows if a.form == "word" else a.active for a in activities)
    return _missing(active, sum(a.windows for a in activities))


def quiet_share(activities: Sequence[Activity]) -> float:
    """Share of synapses that no spike reaches in a window, i.e. the silent share weighted by fan-out; 0 for dense
    words.
    """
    reached = sum(a.active * a.fan if a.form == "train" else a.operations for a in activities)
    return _missing(reached, sum(a.products for a in activities))


def _missing(found: float, possible: float) -> float:
    return 1 - found / possible if possible else 1.0


def populations(activities: Sequence[Activity]) -> dict[Site, list[Activity]]:
    """Group connections by the population that feeds them, since one spike has several targets.

    Raises:
        InputError: connections that read the same windows count different spikes.
    """
    groups: dict[Site, list[Activity]] = defaultdict(list)
    for activity in activities:
        groups[activity.source].append(activity)
    for site, sharing in groups.items():
        if len(sharing) > 1 and len({(a.windows, float(np.sum(a.events))) for a in sharing}) > len(
            {a.windows for a in sharing}
        ):
            problem = "connections of one population count different spikes"
            raise InputError(problem, field=str(site), cure="record the trace anew")
    return dict(groups)


def streams(sharing: Sequence[Activity]) -> list[tuple[Activity, list[Activity]]]:
    """Split what a population sends by its readers: (windows and events, readers).

    There is one stream, except for the input of a block that computes only the first token: this token goes to query,
    key and value, all others to key and value.
    """
    found: list[tuple[Activity, list[Activity]]] = []
    windows = events = 0.0
    for a in sorted({a.windows: a for a in sharing}.values(), key=lambda a: a.windows):
        rest = replace(a, windows=a.windows - windows, events=np.maximum(0.0, a.events - events))
        found.append((rest, [reader for reader in sharing if reader.windows >= a.windows]))
        windows, events = a.windows, a.events
    return found
