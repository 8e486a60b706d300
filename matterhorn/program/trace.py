"""The trace: what happened while a program ran. Energy is computed from it and from nothing else.

Traces of several batches add up. A trace holds counts, never arrays of activity, so its size does not grow with the
amount of data.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..storage import check_file, put_file
from ..topology import SOURCE, Shape, Site

TRACE_FORMAT = 4
"""Version of the trace file format. Format 4 added the hash of the rows."""

COUNTED = ("histogram", "windows", "events", "kappa_sum", "products", "accumulates", "offset_accumulates")
"""Fields of a connection trace that add up over batches."""

MODULUS = 2**256
"""Hashes of rows are added modulo this number."""


@dataclass
class ConnectionTrace:
    """Counts of one connection, summed over all sequences that ran.

    Attributes:
        block, connection: position of the connection (:data:`matterhorn.topology.CONNECTIONS`).
        fan_in, fan_out: rows and columns of the weight matrix. Of a dynamic connection, those of one head's stored
            operand per position: ``qk`` has the head size in and one key out, ``pv`` one key in and the head size out.
        heads: number of heads of a dynamic connection, 1 for a static one.
        level_bits: bits of a source level.
        operand_bits: bits of a weight, or of a stored element of K or V.
        digits: differential pairs that one weight takes on a synapse unit, and additions that it takes on a digital
            array. 0: one per bit.
        zeros: share of weights that are 0.
        threshold_words: words that store the thresholds of a source neuron that fires from its potential. 2: a base and
            a step give them exactly. Otherwise there is one word per threshold.
        dead_zone, silent: dead zone and silent level of the source population's code. ``silent`` has one level, or one
            per row of the histogram.
        windows: neuron-windows that the connection reads.
        events: spikes in those windows.
        kappa_sum: Σ|κ| over all events, in levels.
        products: products that a dense network would compute.
        accumulates: additions that the events cause.
        offset_accumulates: digital additions that account for the silent level of a dynamic connection. 0 if silence
            stands for zero.
        histogram: counts of levels before masking, int64 ``[rows, T + 1]``. Rows are neurons, or heads for ``pv``.
    """

    block: int
    connection: str
    fan_in: int
    fan_out: int
    heads: int
    level_bits: int
    operand_bits: int
    dead_zone: int
    silent: NDArray[np.int64]
    histogram: NDArray[np.int64]
    windows: int = 0
    events: int = 0
    kappa_sum: float = 0.0
    products: int = 0
    accumulates: int = 0
    offset_accumulates: int = 0
    digits: int = 0
    zeros: float = 0.0
    threshold_words: int = 2

    @property
    def name(self) -> str:
        """``block.<i>.<connection>``."""
        return str(Site(self.block, self.connection))

    @property
    def population(self) -> str:
        """Name of the population that feeds the connection. Query, key and value share ``input``."""
        return SOURCE[self.connection]

    @property
    def silent_share(self) -> float:
        """Share of neuron-windows without an event."""
        return 1 - self.events / self.windows if self.windows else 1.0


@dataclass
class DigitalTrace:
    """Counts of one digital step.

    Attributes:
        name: name of the step.
        block: index of its block; −1 before the first block, and the number of blocks after the last one.
        operation: one of embedding, layer_norm, position_bias, softmax, residual, activation, quantize, head.
        elements: number of values that are computed.
        vectors: number of rows that they form. A row is what a norm or a softmax reduces over.
    """

    name: str
    block: int
    operation: str
    elements: int = 0
    vectors: int = 0


@dataclass
class Trace:
    """Counts of a run, from which :func:`matterhorn.bill` computes energy.

    Call an engine with ``trace=True`` to get one.

    Attributes:
        shape: sizes of the network.
        vocabulary: rows of the word embedding table.
        labels: number of outputs.
        program: hash of the program that ran. None if the counts were transferred to another shape.
        rows: hash of the token rows that ran: the sum of their SHA-256 hashes, which does not depend on their order or
            batches (MSet-Add-Hash of Clarke et al., ASIACRYPT 2003).
        parts: ``rows`` of each trace that :func:`merged` combined. Empty for the trace of a single run.
        lengths: ``lengths[n]`` is the number of sequences with n tokens.
        connections: counts by ``block.<i>.<connection>``.
        digital: counts of the digital steps by name.

    >>> import matterhorn as mh
    >>> program = mh.load("sst2")
    >>> trace = mh.Engine(program, threads=1)(**program.encode(["A fine film."]), trace=True).trace
    >>> trace.sequences, trace.tokens, trace.events < trace.windows
    (1, 6, True)
    >>> bool(trace.silent_share > 0.8 and trace.quiet_share > 0.8)
    True
    """

    shape: Shape
    vocabulary: int
    labels: int
    program: str | None = None
    rows: int = 0
    parts: tuple[int, ...] = ()
    lengths: dict[int, int] = field(default_factory=dict)
    connections: dict[str, ConnectionTrace] = field(default_factory=dict)
    digital: dict[str, DigitalTrace] = field(default_factory=dict)

    @property
    def sequences(self) -> int:
        """Number of sequences that ran."""
        return sum(self.lengths.values())

    @property
    def rows_hash(self) -> str:
        """:attr:`rows` as 64 hexadecimal digits, as files and reports show it."""
        return f"{self.rows:064x}"

    @property
    def tokens(self) -> int:
        """Number of tokens that ran, without padding."""
        return sum(length * count for length, count in self.lengths.items())

    @property
    def windows(self) -> int:
        """Number of neuron-windows over all connections."""
        return sum(c.windows for c in self.connections.values())

    @property
    def events(self) -> int:
        """Number of events over all connections. A spike that feeds three connections counts three times."""
        return sum(c.events for c in self.connections.values())

    @property
    def spikes(self) -> int:
        """Number of events over all populations. A spike that feeds three connections counts once."""
        sent: dict[Site, int] = {}
        for c in self.connections.values():
            site = Site(c.block, c.population)
            sent[site] = max(sent.get(site, 0), c.events)
        return sum(sent.values())

    @property
    def silent_share(self) -> float:
        """Share of neuron-windows without an event, over all connections, from 0 to 1."""
        return 1 - self.events / self.windows if self.windows else 1.0

    @property
    def quiet_share(self) -> float:
        """Share of synaptic operations that never happen, from 0 to 1: the silent share weighted by fan-out."""
        products = sum(c.products for c in self.connections.values())
        return 1 - sum(c.accumulates for c in self.connections.values()) / products if products else 1.0

    def add_lengths(self, lengths: Iterable[int]) -> None:
        """Count the sequences of a batch, given their numbers of tokens."""
        for length in lengths:
            self.lengths[int(length)] = self.lengths.get(int(length), 0) + 1

    def add_rows(self, rows: Iterable[bytes]) -> None:
        """Add the token rows of a batch to :attr:`rows`. Each row is given as bytes that identify it."""
        self.rows = sum((int.from_bytes(hashlib.sha256(row).digest()) for row in rows), self.rows) % MODULUS

    def merge(self, other: Trace) -> None:
        """Add the counts of another trace of the same program, e.g. one from another process. Changes this trace.

        Raises:
            InputError: the other trace is of another program or shape, or of no known one.
        """
        if self.program is None or (self.program, self.shape) != (other.program, other.shape):
            raise InputError("traces of different programs", field="trace", cure="merge traces of one program")
        self.rows, self.parts = (self.rows + other.rows) % MODULUS, ()
        for length, count in other.lengths.items():
            self.lengths[length] = self.lengths.get(length, 0) + count
        for name, theirs in other.connections.items():
            if name not in self.connections:
                self.connections[name] = deepcopy(theirs)
                continue
            ours = self.connections[name]
            for counted in COUNTED:
                setattr(ours, counted, getattr(ours, counted) + getattr(theirs, counted))
        for name, step in other.digital.items():
            if name not in self.digital:
                self.digital[name] = deepcopy(step)
                continue
            own = self.digital[name]
            own.elements, own.vectors = own.elements + step.elements, own.vectors + step.vectors

    def save(self, path: str | Path) -> None:
        """Write the trace to a file, as gzipped JSON.

        Raises:
            InputError: the file cannot be written there, e.g. its folder is missing, or a file that matterhorn did not
                write is in the way.
        """
        plain = {
            "format": TRACE_FORMAT,
            "program": self.program,
            "rows": self.rows_hash,
            "parts": [f"{part:064x}" for part in self.parts],
            "shape": asdict(self.shape),
            "vocabulary": self.vocabulary,
            "labels": self.labels,
            "lengths": {str(k): v for k, v in sorted(self.lengths.items())},
            "connections": [
                {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(c).items()}
                for c in self.connections.values()
            ],
            "digital": [vars(d) for d in self.digital.values()],
        }
        check_file(Path(path), "trace")
        put_file(Path(path), gzip.compress(json.dumps(plain).encode(), mtime=0))

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a trace that :meth:`save` wrote.

        Raises:
            InputError: the file is missing, is not a trace of this format, or contains contradictory counts.
        """
        from .trace_file import read_trace  # imported late: it imports this module

        return read_trace(Path(path))


def merged(traces: Sequence[Trace]) -> Trace:
    """Merge several traces of the same program, each of different rows. The first one is changed and returned.

    Two traces that have only some rows in common are not detected.

    Raises:
        InputError: the traces are of different programs, or two of them are of the same rows.
    """
    parts = [part for trace in traces for part in trace.parts or (trace.rows,)]
    if len(set(parts)) < len(parts):
        raise InputError("two traces of the same rows", field="rows", cure="give every trace once")
    whole, *others = traces
    for other in others:
        whole.merge(other)
    whole.parts = tuple(parts)
    return whole
