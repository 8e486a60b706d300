"""What a block of a transformer encoder is: populations, connections, who feeds whom, how often. Defined only here.

A block as a picture (``[…]`` are digital steps)::

    input ─┬─ query ── queries ── qk ── [softmax] ── probabilities ── pv ── context ── output ── [+ norm] ──┐
           ├─ key ──── stored keys ──┘                                │                                     │
           └─ value ── stored values ─────────────────────────────────┘                                     │
    ┌───────────────────────────────────────────────────────────────────────────────────────────────────────┘
    └─ hidden ── ffn1 ── intermediate ── ffn2 ── [+ norm] ── input of the next block

If the head reads only the first token, the last block computes only that token, except for keys and values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Extent = Literal["width", "intermediate", "head", "one"]
"""What a number of neurons depends on: the residual stream, the feed-forward layer, one head, or nothing (1)."""


class Population(NamedTuple):
    """Neurons that send spikes.

    Attributes:
        name: name of the population.
        signed: whether levels lie around a zero point in the middle.
        neurons: how many neurons have a silent level of their own.
        gains: whether each neuron has a gain before it is quantized.
        fires: whether levels come straight from potentials. If not, a digital step computes them.
    """

    name: str
    signed: bool
    neurons: Extent
    gains: bool
    fires: bool


class Connection(NamedTuple):
    """One linear map.

    Attributes:
        name: name of the connection.
        source: population that feeds it.
        fan_in, fan_out: rows and columns of its matrix; of a dynamic connection, those of one head.
        dynamic: whether the stored operand (keys or values) is written again for each sequence.
        every_token: whether it is read for every token even if only the first token's answer is needed.
    """

    name: str
    source: str
    fan_in: Extent
    fan_out: Extent
    dynamic: bool = False
    every_token: bool = False


POPULATIONS: tuple[Population, ...] = (
    Population("input", signed=True, neurons="width", gains=True, fires=False),
    Population("queries", signed=True, neurons="width", gains=False, fires=True),
    Population("probabilities", signed=False, neurons="one", gains=False, fires=False),
    Population("context", signed=True, neurons="width", gains=True, fires=True),
    Population("hidden", signed=True, neurons="width", gains=True, fires=False),
    Population("intermediate", signed=False, neurons="intermediate", gains=False, fires=True),
)
"""The populations of a block, in the order in which they fire."""

CONNECTIONS: tuple[Connection, ...] = (
    Connection("query", "input", "width", "width"),
    Connection("key", "input", "width", "width", every_token=True),
    Connection("value", "input", "width", "width", every_token=True),
    Connection("qk", "queries", "head", "one", dynamic=True),
    Connection("pv", "probabilities", "one", "head", dynamic=True),
    Connection("output", "context", "width", "width"),
    Connection("ffn1", "hidden", "width", "intermediate"),
    Connection("ffn2", "intermediate", "intermediate", "width"),
)
"""The connections of a block, in the order in which they run."""

POPULATION = {population.name: population for population in POPULATIONS}
CONNECTION = {connection.name: connection for connection in CONNECTIONS}
STATIC = tuple(connection.name for connection in CONNECTIONS if not connection.dynamic)
"""Connections with weights."""
DYNAMIC = tuple(connection.name for connection in CONNECTIONS if connection.dynamic)
"""Connections whose stored operand (keys, values) is written again for each sequence."""
SOURCE = {connection.name: connection.source for connection in CONNECTIONS}
"""Which population feeds which connection."""
TARGETS = {
    name: tuple(connection.name for connection in CONNECTIONS if connection.source == name) for name in POPULATION
}
"""Connections that each population feeds. One spike of ``input`` is sent to three."""

TABLES = ("word", "position", "segment")
"""Tables of embeddings."""

FEEDS_WEIGHTS = frozenset(name for name, targets in TARGETS.items() if not set(targets) & set(DYNAMIC))
"""Populations that feed weights. What a level of a single neuron stands for can be folded into these weights."""


class Site(NamedTuple):
    """A population or connection of one block. Its text form is ``block.<i>.<part>``."""

    block: int
    part: str

    def __str__(self) -> str:
        return f"block.{self.block}.{self.part}"

    @classmethod
    def parse(cls, text: str) -> Site:
        """Parse ``block.<i>.<part>``.

        Raises:
            ValueError: the text does not have this form.
        """
        word, number, part = text.split(".", 2)
        if word != "block":
            raise ValueError(f"{text!r} is not block.<i>.<part>")
        return cls(int(number), part)


@dataclass(frozen=True)
class Shape:
    """Sizes of an encoder.

    Attributes:
        layers: number of blocks.
        width: width of the residual stream.
        heads: number of attention heads.
        intermediate: neurons of a feed-forward layer.
        first_only: whether the head reads only the first token, so that the last block computes only this token.
    """

    layers: int
    width: int
    heads: int
    intermediate: int
    first_only: bool = True

    @property
    def head_size(self) -> int:
        """Width of one head."""
        return self.width // self.heads

    def extent(self, extent: Extent) -> int:
        """Number of neurons of an extent."""
        return {"width": self.width, "intermediate": self.intermediate, "head": self.head_size, "one": 1}[extent]

    def neurons(self, population: str) -> int:
        """Number of neurons of a population that may have their own silent level (1 for probabilities)."""
        return self.extent(POPULATION[population].neurons)

    def fans(self, connection: str) -> tuple[int, int]:
        """Rows and columns of a weight matrix; of a dynamic connection, those of one head and stored position."""
        kind = CONNECTION[connection]
        return self.extent(kind.fan_in), self.extent(kind.fan_out)

    def heads_of(self, connection: str) -> int:
        """Number of copies of a connection that run side by side: the heads of a dynamic one, else 1."""
        return self.heads if CONNECTION[connection].dynamic else 1

    def is_cut(self, block: int) -> bool:
        """Whether a block computes only the first token."""
        return self.first_only and block == self.layers - 1

    def tokens(self, block: int, part: str, length: int) -> int:
        """Number of tokens for which a population sends or a connection is read, in a sequence of ``length`` tokens."""
        every = part == "input" or (part in CONNECTION and CONNECTION[part].every_token)
        return 1 if self.is_cut(block) and not every else length

    def windows(self, block: int, connection: str, length: int) -> int:
        """Neuron-windows that a connection reads in one sequence.

        There is one per neuron and token; of ``pv``, there is one per pair of tokens and head.
        """
        fan_in, _ = self.fans(connection)
        pairs = length if connection == "pv" else 1
        return self.tokens(block, connection, length) * fan_in * self.heads_of(connection) * pairs

    def fan_out(self, connection: str, length: int) -> int:
        """Synapses that one event reaches: the columns of the matrix, or for ``qk`` the keys of the sequence."""
        return length if connection == "qk" else self.fans(connection)[1]
