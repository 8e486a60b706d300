"""Watchers. One keeps counts for the trace, the other keeps every level and slot."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..kernels.counting import count_rows, count_squares
from ..program.packing import BITS, threshold_words
from ..program.parts import Population
from ..program.program import Program
from ..program.steps import digital_steps
from ..program.trace import ConnectionTrace, Trace
from ..topology import CONNECTION, TARGETS, Site
from .backend import Levels, Slots
from .sequences import Sequences


class SlotRecorder:
    """Keeps the levels (before masking) and slots of all populations in the last batch, in firing order."""

    sequences: Sequences

    def __init__(self) -> None:
        self.levels: dict[Site, Levels] = {}
        self.slots: dict[Site, Slots] = {}

    def batch(self, sequences: Sequences) -> None:
        """See :class:`.backend.Watcher`."""
        self.sequences, self.levels, self.slots = sequences, {}, {}

    def spikes(self, site: Site, population: Population, levels: Levels, slots: Slots) -> None:
        """See :class:`.backend.Watcher`."""
        self.levels[site], self.slots[site] = levels, slots


@dataclass(frozen=True, eq=False)
class _Counts:
    """Counts of one population in one batch.

    Attributes:
        events: spikes of each sequence, int64 ``[batch]``.
        kappa_sum: Σ|κ|, in levels.
        histogram: counts of levels, int64 ``[rows, T + 1]``.
    """

    events: NDArray[np.int64]
    kappa_sum: float
    histogram: NDArray[np.int64]


class TraceRecorder:
    """Builds the trace of a program. Padding is not counted."""

    def __init__(self, program: Program):
        self.program, self.shape = program, program.shape
        self.trace = Trace(self.shape, program.config.vocab_size, len(program.labels), program.hash)

    def rows(self, tokens: NDArray[np.int64], types: NDArray[np.int64], sequences: Sequences) -> None:
        """Record which rows run: token and type numbers, ``[batch, L]`` each, without padding."""
        both = np.stack([sequences.flat(tokens), sequences.flat(types)]).astype("<i4")
        self.trace.add_rows(row.tobytes() for row in np.split(both, sequences.starts[1:-1], axis=1))

    def batch(self, sequences: Sequences) -> None:
        """See :class:`.backend.Watcher`."""
        self.sequences, self.lengths = sequences, sequences.lengths
        self.trace.add_lengths(self.lengths.tolist())
        self._digital()

    def spikes(self, site: Site, population: Population, levels: Levels, slots: Slots) -> None:
        """See :class:`.backend.Watcher`."""
        cut = self.shape.is_cut(site.block)
        rows = self.sequences.ones if cut and site.part != "input" else self.sequences.starts
        every_token = self._count(population, levels, slots, rows)
        for name in TARGETS[site.part]:
            counts = every_token
            if cut and site.part == "input" and not CONNECTION[name].every_token:
                first = self.sequences.first
                counts = self._count(population, levels[first], slots[first], self.sequences.ones)
            self._add(self._row(Site(site.block, name), population), population, counts)

    def _count(self, population: Population, levels: Levels, slots: Slots, rows: NDArray[np.int64]) -> _Counts:
        code, window = population.layout, population.code.slots
        if population.name == "probabilities":
            histogram = np.zeros((self.shape.heads, window), np.int64)
            events = np.empty(len(self.lengths), np.int64)
            total = count_squares(levels, slots, code, rows, self.sequences.starts, histogram, events)
        else:
            histogram, each = np.zeros((levels.shape[1], window), np.int64), np.empty(len(levels), np.int64)
            total = count_rows(levels, slots, code, histogram, each)
            events = np.add.reduceat(each, rows[:-1])
        return _Counts(events, float(total) / code.unit, histogram)

    def _add(self, row: ConnectionTrace, population: Population, counts: _Counts) -> None:
        lengths = self.lengths.tolist()
        windows = np.array([self.shape.windows(row.block, row.connection, n) for n in lengths])
        fan_out = np.array([self.shape.fan_out(row.connection, n) for n in lengths])
        row.windows += int(windows.sum())
        row.events += int(counts.events.sum())
        row.kappa_sum += counts.kappa_sum
        row.products += int((windows * fan_out).sum())
        row.accumulates += int((counts.events * fan_out).sum())
        if CONNECTION[row.connection].dynamic and bool(population.layout.constant.any()):
            row.offset_accumulates += int(self.lengths.sum()) * self.shape.width
        row.histogram += counts.histogram

    def _row(self, site: Site, population: Population) -> ConnectionTrace:
        if str(site) not in self.trace.connections:
            config, kind = self.program.config, CONNECTION[site.part]
            fan_in, fan_out = self.shape.fans(site.part)
            rows = self.shape.heads if site.part == "pv" else population.neurons
            self.trace.connections[str(site)] = ConnectionTrace(
                block=site.block,
                connection=site.part,
                fan_in=fan_in,
                fan_out=fan_out,
                heads=self.shape.heads_of(site.part),
                level_bits=config.activation_bits,
                operand_bits=config.kv_bits if kind.dynamic else BITS[config.weights],
                digits=1 if config.weights == "ternary" and not kind.dynamic else 0,
                zeros=0.0 if kind.dynamic else self.program.connections()[site].zeros,
                threshold_words=threshold_words(population.thresholds),
                dead_zone=population.code.dead_zone,
                silent=population.code.silent.reshape(-1).astype(np.int64),
                histogram=np.zeros((rows, population.code.slots), np.int64),
            )
        return self.trace.connections[str(site)]

    def _digital(self) -> None:
        """Count the digital steps, which depend only on the lengths."""
        config = self.program.config
        for step in digital_steps(
            self.shape, self.lengths.tolist(), self.trace.labels, table_width=config.table_width,
            position_bias=bool(config.relative_distance), head_activation=config.head_activation,
        ):  # fmt: skip
            known = self.trace.digital.setdefault(step.name, replace(step, elements=0, vectors=0))
            known.elements += step.elements
            known.vectors += step.vectors
