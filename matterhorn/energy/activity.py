"""What a connection does under a code: the counts that a bill is made from, re-coded from a trace by pure functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..errors import InputError
from ..trace import DYNAMIC, ConnectionTrace, Trace

Line = tuple[str, str, float]
"""One line of a bill: connection or digital step, category, energy in J."""

Form = Literal["word", "train", "spike"]
"""How a level travels: a dense word, a train of T steps (rate), or at most one spike in T + 1 slots (TTFS)."""


@dataclass(frozen=True)
class Activity:
    """Counts of one connection under one code, over all sequences.

    Attributes:
        vectors: input vectors, i.e. windows over neurons (context: one per token and head).
        windows: neuron-windows of the source population. events: spikes (for words: values sent).
        kernel: Σ|κ| in levels, i.e. slots for which rows are driven. operations: synaptic operations caused.
        products: those of a dense network. offset: additions for the silent level of a dynamic connection.
        adds: accumulates per synaptic operation. steps: time steps per window (0 for words). active: windows that
            drive a row at all. key_bits: of a stored K or V element. sign_bits: of a spike packet (ternary spikes).
    """

    name: str
    block: int
    role: str
    population: str
    form: Form
    fan_in: int
    fan_out: int
    heads: int
    level_bits: int
    operand_bits: int
    vectors: float
    windows: float
    events: float
    kernel: float
    operations: float
    products: float
    offset: float
    adds: int
    steps: int
    active: float
    key_bits: int = 1
    sign_bits: int = 0

    @property
    def dynamic(self) -> bool:
        """True where the stored operand is K or V."""
        return self.role in DYNAMIC

    @property
    def outputs(self) -> float:
        """Output neuron-windows: every input vector makes one vector of outputs."""
        return self.vectors * self.fan

    @property
    def fan(self) -> float:
        """Synapses that one event reaches."""
        return self.products / self.windows if self.windows else 0.0


@dataclass(frozen=True)
class Coding:
    """A code to evaluate a trace by. ``per_neuron``: the silent level is each row's mode, not the tensor's."""

    name: str
    form: Form
    dead_zone: int = 0
    masked: bool = False
    per_neuron: bool = False


CODINGS: tuple[Coding, ...] = (
    Coding("dense", "word"),
    Coding("rate", "train"),
    Coding("ttfs", "spike"),
    *(Coding(f"mttfs-k{k}", "spike", k, True) for k in range(4)),
    *(Coding(f"mttfs-k{k}-neuron", "spike", k, True, True) for k in range(4)),
)
"""The codes of the bill, one silent level per tensor; ``-neuron`` has one per neuron."""


def coding(name: str) -> Coding:
    """A code by its name."""
    for candidate in CODINGS:
        if candidate.name == name:
            return candidate
    names = ", ".join(c.name for c in CODINGS)
    raise InputError(f"no code {name!r}", field="code", cure=f"give one of {names}")


def as_traced(trace: Trace) -> list[Activity]:
    """Activities exactly as they were counted while the network ran."""
    return [
        replace(
            _frame(c, "spike", trace),
            events=float(c.events),
            kernel=float(c.kernel_sum),
            operations=float(c.accumulates),
            offset=float(c.offset_accumulates),
            active=float(c.events),
        )
        for c in trace.connections.values()
    ]


def recode(trace: Trace, code: Coding) -> list[Activity]:
    """Activities had the same levels been sent by another code.

    The histogram of levels before masking gives events and Σ|κ|; operations follow as events times the mean number of
    synapses per neuron. Levels come from a network trained with its own dead zone, which is the one thing that a
    re-coding cannot change.
    """
    masked = any(c.silent.any() for c in trace.connections.values())
    activities = []
    for c in trace.connections.values():
        frame = _frame(c, code.form, trace)
        levels = np.arange(c.histogram.shape[1])[None, :]
        if code.form == "train":
            activities.append(_trains(c, frame, levels))
            continue
        silent = np.zeros((1, 1)) if code.name == "ttfs" else silent_levels(c, per_neuron=code.per_neuron, own=masked)
        distance = np.abs(levels - silent)
        spiking = code.form == "spike"
        activities.append(_spikes(c, frame, distance, code.dead_zone) if spiking else _words(c, frame, distance))
    return activities


def silent_levels(c: ConnectionTrace, *, per_neuron: bool, own: bool) -> np.ndarray:
    """Silent level of each row ``[rows, 1]`` or of the tensor ``[1, 1]``.

    With ``own``, that of the network where it has it in this grain (chosen on other data); else the most frequent level
    of this data, the lowest if several. Keys come and go, so probabilities have one level in either grain.
    """
    rows = per_neuron and c.role != "context"
    if own and len(c.silent) == (len(c.histogram) if rows else 1):
        return c.silent[:, None]
    counts = c.histogram if rows else c.histogram.sum(0, keepdims=True)
    return counts.argmax(-1)[:, None]


def _frame(c: ConnectionTrace, form: Form, trace: Trace) -> Activity:
    stored = trace.connections.get(f"block.{c.block}.scores", c)
    vectors = trace.tokens * c.heads if c.role == "context" else c.windows / c.fan_in
    top = 2**c.level_bits - 1
    steps = {"word": 0, "train": top, "spike": top + 1}[form]
    return Activity(
        name=c.name, block=c.block, role=c.role, population=c.population, form=form, fan_in=c.fan_in,
        fan_out=c.fan_out, heads=c.heads, level_bits=c.level_bits, operand_bits=c.operand_bits,
        vectors=float(vectors), windows=float(c.windows), events=0.0, kernel=0.0, operations=0.0,
        products=float(c.products),
        offset=float(c.offset_accumulates), adds=1 if form == "train" else min(c.level_bits, c.operand_bits),
        steps=steps, active=0.0, key_bits=stored.operand_bits,
    )  # fmt: skip


def _per_window(c: ConnectionTrace, weight: np.ndarray) -> float:
    """Σ over levels of ``weight`` [rows or 1, T + 1], scaled to all windows."""
    total = float(c.histogram.sum())
    return float((c.histogram * weight).sum()) * (c.windows / total) if total else 0.0


def _words(c: ConnectionTrace, frame: Activity, distance: np.ndarray) -> Activity:
    """Every value travels. On an analog array a word drives its row relative to the silent level (cheapest)."""
    return replace(
        frame, events=float(c.windows), operations=float(c.products), offset=0.0,
        kernel=_per_window(c, distance), active=_per_window(c, distance > 0),
    )  # fmt: skip


def _trains(c: ConnectionTrace, frame: Activity, levels: np.ndarray) -> Activity:
    """Level q is q spikes in T steps; each spike drives its row for one slot."""
    events, active = _per_window(c, levels), _per_window(c, levels > 0)
    return replace(frame, events=events, kernel=events, operations=events * frame.fan, active=active)


def _spikes(c: ConnectionTrace, frame: Activity, distance: np.ndarray, dead_zone: int) -> Activity:
    """At most one spike: silent where |q − m| ≤ k."""
    events = _per_window(c, distance > dead_zone)
    kernel = _per_window(c, distance * (distance > dead_zone))
    return replace(frame, events=events, kernel=kernel, operations=events * frame.fan, active=events)


def silent_share(activities: list[Activity]) -> float:
    """Share of neuron-windows without a spike; 0 for dense words."""
    windows = sum(a.windows for a in activities)
    active = sum(a.windows if a.form == "word" else a.active for a in activities)
    return 1 - active / windows if windows else 1.0
