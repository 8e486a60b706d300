"""The trace: what happened while a program ran, and the only thing that energy is computed from.

A trace adds up over batches. It holds counts, never arrays of activity, so its size does not grow with the data.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..storage import check_file, put_file
from ..topology import SOURCE, Shape, Site

TRACE_FORMAT = 4
"""Of trace files; 4: the hash of the rows."""

COUNTED = ("histogram", "windows", "events", "kappa_sum", "products", "accumulates", "offset_accumulates")
"""Fields of a connection that add up over batches."""

MODULUS = 2**256
"""Hashes of rows are added modulo this."""


@dataclass
class ConnectionTrace:
    """Counts of one connection, summed over all sequences that ran.

    Attributes:
        block, connection: which one (:data:`matterhorn.topology.CONNECTIONS`).
        fan_in, fan_out: rows and columns of the weight matrix (static); of one head's stored operand per position
            for dynamic ones (qk: head size in, one key out; pv: one key in, head size out).
        heads: number of heads for dynamic connections, 1 for static ones.
        level_bits: bits of a source level. operand_bits: bits of a weight or of a stored K or V element.
        digits: differential pairs that a weight takes on a synapse unit, and additions on a digital array; 0: one for
            each bit. zeros: share of weights that are 0.
        threshold_words: words that hold the thresholds of a source neuron that fires from its potential: 2 where a base
            and a step give them exactly, else one for each.
        dead_zone, silent: of the source population's code; ``silent`` has one level, or one per row of the histogram.
        windows: neuron-windows that the connection reads. events: spikes among them. kappa_sum: Σ|κ| over events, in
            levels.
        products: products that a dense network would compute. accumulates: additions that the events cause.
        offset_accumulates: digital additions for the silent level of a dynamic connection (0 where silence means 0).
        histogram: int64 ``[rows, T + 1]``, levels before masking; rows are neurons, or heads for pv.
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
        """The population that feeds it. Query, key and value share ``input``: one spike, three targets."""
        return SOURCE[self.connection]

    @property
    def silent_share(self) -> float:
        """Share of neuron-windows without an event."""
        return 1 - self.events / self.windows if self.windows else 1.0


@dataclass
class DigitalTrace:
    """Counts of one digital step: ``elements`` values in ``vectors`` rows (a row is what a norm or softmax reduces).

    ``operation`` is one of embedding, layer_norm, position_bias, softmax, residual, activation, quantize, head.
    ``block`` is −1 before the first block, and the number of blocks behind the last one.
    """

    name: str
    block: int
    operation: str
    elements: int = 0
    vectors: int = 0


@dataclass
class Trace:
    """All counts of a run.

    Attributes:
        shape: of the network. vocabulary, labels: rows of the word table, outputs.
        program: hash of the program that ran; None where counts were laid over another shape.
        rows: hash of the token rows that ran: their SHA-256 added up, so that it is the same in any order and any
            batches (MSet-Add-Hash of Clarke et al., ASIACRYPT 2003).
        parts: hashes of the rows of the traces that :func:`merged` made it from; empty for the trace of one run.
        lengths: ``lengths[n]`` is the number of sequences with n tokens.
        connections: by ``block.<i>.<connection>``. digital: by name.

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
        """:attr:`rows` in hexadecimal digits, as files and reports have it."""
        return f"{self.rows:064x}"

    @property
    def tokens(self) -> int:
        """Number of tokens that ran, padding not counted."""
        return sum(length * count for length, count in self.lengths.items())

    @property
    def windows(self) -> int:
        """Neuron-windows over all connections."""
        return sum(c.windows for c in self.connections.values())

    @property
    def events(self) -> int:
        """Events over all connections; a spike that feeds three connections counts in each."""
        return sum(c.events for c in self.connections.values())

    @property
    def spikes(self) -> int:
        """Events over all populations: one that feeds three connections counts once."""
        sent: dict[Site, int] = {}
        for c in self.connections.values():
            site = Site(c.block, c.population)
            sent[site] = max(sent.get(site, 0), c.events)
        return sum(sent.values())

    @property
    def silent_share(self) -> float:
        """Share of neuron-windows without an event, over all connections."""
        return 1 - self.events / self.windows if self.windows else 1.0

    @property
    def quiet_share(self) -> float:
        """Share of synaptic operations that never happen: the silent share weighted by fan-out."""
        products = sum(c.products for c in self.connections.values())
        return 1 - sum(c.accumulates for c in self.connections.values()) / products if products else 1.0

    def add_lengths(self, lengths: Iterable[int]) -> None:
        """Note the sequences of a batch."""
        for length in lengths:
            self.lengths[int(length)] = self.lengths.get(int(length), 0) + 1

    def add_rows(self, rows: Iterable[bytes]) -> None:
        """Note the token rows of a batch, whatever makes them out, as bytes."""
        self.rows = sum((int.from_bytes(hashlib.sha256(row).digest()) for row in rows), self.rows) % MODULUS

    def merge(self, other: Trace) -> None:
        """Add the counts of another trace of the same program, e.g. from another process.

        Raises:
            InputError: it is of another program.
        """
        if (self.program, self.shape) != (other.program, other.shape):
            raise InputError("traces of different programs", field="trace", cure="merge traces of one program")
        self.rows, self.parts = (self.rows + other.rows) % MODULUS, ()
        for length, count in other.lengths.items():
            self.lengths[length] = self.lengths.get(length, 0) + count
        for name, theirs in other.connections.items():
            ours = self.connections.setdefault(name, theirs)
            if ours is not theirs:
                for counted in COUNTED:
                    setattr(ours, counted, getattr(ours, counted) + getattr(theirs, counted))
        for name, step in other.digital.items():
            own = self.digital.setdefault(name, step)
            if own is not step:
                own.elements, own.vectors = own.elements + step.elements, own.vectors + step.vectors

    def save(self, path: str | Path) -> None:
        """Write as gzipped JSON."""
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
        """Read what :meth:`save` wrote.

        Raises:
            InputError: there is no such file, it is no trace of this format, or its figures contradict each other.
        """
        from .trace_file import read_trace  # (which makes one)

        return read_trace(Path(path))


def merged(traces: Sequence[Trace]) -> Trace:
    """One trace of several of the same program, each of other rows; the first of them is added to.

    Rows that two of them share among others are not noticed.

    Raises:
        InputError: they are of different programs, or rows are in it twice.
    """
    parts = [part for trace in traces for part in trace.parts or (trace.rows,)]
    if len(set(parts)) < len(parts):
        raise InputError("the same rows twice", field="rows", cure="give every trace once")
    whole, *others = traces
    for other in others:
        whole.merge(other)
    whole.parts = tuple(parts)
    return whole
