"""The trace: what happened while a spiking network ran, and the only thing that energy is computed from.

A trace adds up over batches. It holds counts, never tensors of activity, so its size does not grow with the data.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

ROLES = ("query", "key", "value", "scores", "context", "output", "ffn1", "ffn2")
"""Connections of a block, in the order in which they run: scores is Q·Kᵀ, context is P·V."""

DYNAMIC = ("scores", "context")
"""Connections whose stored operand (K, V) is written anew for each sequence."""


@dataclass
class ConnectionTrace:
    """Counts of one connection, summed over all sequences that ran.

    Attributes:
        name: ``block.<i>.<role>``; block: i; role: one of :data:`ROLES`.
        population: the neurons that feed it. Query, key and value share ``block.<i>.input``: one spike, three targets.
        fan_in, fan_out: rows and columns of the weight matrix (static); of one head's stored operand per position
            for dynamic ones (scores: head size in, one key out; context: one key in, head size out).
        heads: number of heads for dynamic connections, 1 for static ones.
        level_bits: bits of a source level. operand_bits: bits of a weight or of a stored K or V element.
        dead_zone, silent: of the source population's code; ``silent`` has one level, or one per row of the histogram.
        windows: neuron-windows. events: spikes. kernel_sum: Σ|κ| over events, in levels.
        products: products that a dense network would compute. accumulates: additions that the events cause.
        offset_accumulates: digital additions for the silent level of a dynamic connection (0 where silence means 0).
        histogram: int64 ``[rows, T + 1]``, levels before masking; rows are neurons, or heads for context.
    """

    name: str
    block: int
    role: str
    population: str
    fan_in: int
    fan_out: int
    heads: int
    level_bits: int
    operand_bits: int
    dead_zone: int
    silent: np.ndarray
    histogram: np.ndarray
    windows: int = 0
    events: int = 0
    kernel_sum: float = 0.0
    products: int = 0
    accumulates: int = 0
    offset_accumulates: int = 0

    COUNTED: ClassVar = (
        "histogram", "windows", "events", "kernel_sum", "products", "accumulates", "offset_accumulates"
    )  # fmt: skip
    """What adds up over batches."""

    @property
    def silent_share(self) -> float:
        """Share of neuron-windows without an event."""
        return 1 - self.events / self.windows if self.windows else 1.0


@dataclass
class DigitalTrace:
    """Counts of one digital step: ``elements`` values in ``vectors`` rows (a row is what a norm or softmax reduces).

    ``operation`` is one of embedding, layer_norm, softmax, residual, activation, quantise, head.
    """

    name: str
    block: int
    operation: str
    elements: int = 0
    vectors: int = 0


@dataclass
class Trace:
    """All counts of a run. ``lengths[n]`` is the number of sequences with n tokens; ``shape`` describes the network
    (layers, width, heads, ffn, vocabulary)."""

    shape: dict[str, int]
    lengths: dict[int, int] = field(default_factory=dict)
    connections: dict[str, ConnectionTrace] = field(default_factory=dict)
    digital: dict[str, DigitalTrace] = field(default_factory=dict)

    @property
    def sequences(self) -> int:
        """Number of sequences that ran."""
        return sum(self.lengths.values())

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
    def silent_share(self) -> float:
        """Share of neuron-windows without an event, over all connections."""
        return 1 - self.events / self.windows if self.windows else 1.0

    def add_lengths(self, lengths: Iterable[int]) -> None:
        """Note the sequences of a batch."""
        for length in lengths:
            self.lengths[int(length)] = self.lengths.get(int(length), 0) + 1

    def merge(self, other: Trace) -> None:
        """Add the counts of another trace of the same network, e.g. from another process."""
        for length, count in other.lengths.items():
            self.lengths[length] = self.lengths.get(length, 0) + count
        for name, theirs in other.connections.items():
            ours = self.connections.setdefault(name, theirs)
            if ours is not theirs:
                for counted in ConnectionTrace.COUNTED:
                    setattr(ours, counted, getattr(ours, counted) + getattr(theirs, counted))
        for name, step in other.digital.items():
            own = self.digital.setdefault(name, step)
            if own is not step:
                own.elements, own.vectors = own.elements + step.elements, own.vectors + step.vectors

    def save(self, path: str | Path) -> None:
        """Write as gzipped JSON (atomically: a temporary name first)."""
        path = Path(path)
        plain = {
            "shape": self.shape,
            "lengths": {str(k): v for k, v in sorted(self.lengths.items())},
            "connections": [
                {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(c).items()}
                for c in self.connections.values()
            ],
            "digital": [vars(d) for d in self.digital.values()],
        }
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(gzip.compress(json.dumps(plain).encode(), mtime=0))
        temporary.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read what :meth:`save` wrote."""
        plain = json.loads(gzip.decompress(Path(path).read_bytes()))
        arrays = ("silent", "histogram")
        connections = [
            ConnectionTrace(**(c | {key: np.asarray(c[key], dtype=np.int64) for key in arrays}))
            for c in plain["connections"]
        ]
        return cls(
            shape=plain["shape"],
            lengths={int(k): v for k, v in plain["lengths"].items()},
            connections={c.name: c for c in connections},
            digital={d["name"]: DigitalTrace(**d) for d in plain["digital"]},
        )
