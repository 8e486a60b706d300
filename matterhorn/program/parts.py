"""The parts of a program: connections, populations, stores, norms, heads, blocks. All arrays are read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..coding import Code, frozen
from ..kernels.connections import MOST, PARTS
from ..kernels.lanes import LANES
from ..kernels.layout import (
    AttentionLayout,
    BlockLayout,
    Coded,
    CodeLayout,
    Fired,
    Limits,
    Planes,
    Readout,
    SoftmaxLayout,
    Stored,
    Table,
)
from ..topology import POPULATION
from .packing import as_lines, bit_planes

REACH = 2**24 - 1
"""Bound of all potentials, those of attention included. Float32 holds every integer up to it. A network that could
exceed it is refused.
"""


@dataclass(frozen=True, eq=False)
class Connection:
    """A weight matrix.

    Attributes:
        kind: width of the weights (:data:`.config.WEIGHTS`).
        weights: int8 ``[out, in]``.
        offset: contribution of the silent state, int32 ``[out]``.
        scale, bias: map integer potentials to real ones, float32 ``[out]``. Not used where neurons fire directly, as
            their thresholds include this map.
    """

    kind: str
    weights: NDArray[np.int8]
    offset: NDArray[np.int32]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]

    @cached_property
    def zeros(self) -> float:
        """Share of weights that are 0."""
        return 1 - float(np.count_nonzero(self.weights)) / self.weights.size


@dataclass(frozen=True, eq=False)
class Array:
    """Connections that share their rows, laid out as in hardware and for the kernels.

    Attributes:
        source: population whose events drive the rows.
        rows: int8 ``[in, out]``.
        offset: int32 ``[out]``.
        planes: the same weights, packed for the event kernel.
    """

    name: str
    source: str
    rows: NDArray[np.int8]
    offset: NDArray[np.int32]
    planes: Planes

    @classmethod
    def of(cls, name: str, parts: Sequence[Connection], source: str) -> Array:
        """Lay out connections with the same source side by side."""
        weights = np.concatenate([part.weights for part in parts])
        offset = np.concatenate([part.offset for part in parts])
        planes = bit_planes(weights, offset)
        packed = Planes(frozen(planes.choices), frozen(planes.factors), planes.floor, frozen(planes.offset))
        return cls(name, source, frozen(weights.T), frozen(offset), packed)

    @property
    def weights(self) -> NDArray[np.int8]:
        """``[out, in]``."""
        return self.rows.T

    @property
    def fan_out(self) -> int:
        """Columns."""
        return int(self.rows.shape[1])


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons that send events.

    Attributes:
        name: one of :data:`matterhorn.topology.POPULATIONS`.
        neurons: number of neurons.
        code: silent levels, dead zone and silent values.
        scale: real value of a level.
        gain: gain g of each neuron before it is quantized, float32 ``[neurons]``. None: 1.
        zeros: zero point of each neuron, int16 ``[neurons]``. None: all have the same (:attr:`zero`).
        thresholds: int32 ``[neurons, T]``, for populations that fire straight from potentials: a neuron has at least
            level l if its potential reaches threshold l. Gains are folded into them.
        layout: the code, for the kernels.
        pitch: distance between two levels before the gain, s/g, float32 ``[neurons]``, for the kernels.
        limits: thresholds and the lines on which they lie, for the kernels.
        looked_up: whether the ``events`` backend may look up sums of κ. It may not if silent values lie so far outside
            the levels that its tables overflow.
    """

    name: str
    neurons: int
    code: Code
    scale: np.float32
    gain: NDArray[np.float32] | None = None
    zeros: NDArray[np.int16] | None = None
    thresholds: NDArray[np.int32] | None = None
    layout: CodeLayout = field(init=False)
    pitch: NDArray[np.float32] = field(init=False)
    limits: Limits | None = field(init=False)
    looked_up: bool = field(init=False)

    def __post_init__(self) -> None:
        code, n = self.code, self.neurons
        silent, reference = (_spread(x, n, np.int16) for x in (code.silent, code.reference))
        zero = _spread(self.zero, n, np.int16)
        constant = frozen(reference.astype(np.int32) - code.unit * zero.astype(np.int32))
        low = frozen((silent - code.dead_zone).astype(np.uint8))
        layout = CodeLayout(
            silent, low, reference, code.unit, code.top, code.dead_zone, zero, constant, _padded(reference)
        )
        pitch = self.scale if self.gain is None else self.scale / self.gain
        object.__setattr__(self, "layout", layout)
        object.__setattr__(self, "looked_up", code.reach <= PARTS * MOST)
        object.__setattr__(self, "pitch", _spread(np.asarray(pitch), n, np.float32))
        object.__setattr__(self, "limits", None if self.thresholds is None else _limits(self.thresholds))

    @property
    def zero(self) -> NDArray[np.int16]:
        """Zero point: the level that stands for 0, int16 ``[neurons or 1]``."""
        return np.array([zero_point(self.name, self.code.bits)], np.int16) if self.zeros is None else self.zeros


def zero_point(population: str, bits: int) -> int:
    """Level that stands for 0: the middle of a signed population, else 0."""
    return 2 ** (bits - 1) if POPULATION[population].signed else 0


@dataclass(frozen=True, eq=False)
class Store:
    """How keys or values are stored: in ``bits`` per element, as ±1 for one bit, else as a signed integer.

    Attributes:
        bits: bits per element.
        scale: real value of one step.
        thresholds: int32 ``[n, 2^bits − 1]``; a potential becomes the number of thresholds that it reaches.
        limits: the same for the kernels.
    """

    bits: int
    scale: np.float32
    thresholds: NDArray[np.int32]
    limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", _limits(self.thresholds))


@dataclass(frozen=True, eq=False)
class Norm:
    """Weight and bias of a LayerNorm, float32 ``[n]``."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Head:
    """A digital linear map: weights int8 ``[out, in]``; scale, bias float32 ``[out]``."""

    weights: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Word, position and segment embeddings in 8 bits with a scale per row, and their norm."""

    word: Table
    position: Table
    segment: Table
    norm: Norm


@dataclass(frozen=True, eq=False)
class Block:
    """One block: connections and populations by their names in :mod:`matterhorn.topology`.

    Attributes:
        keys, values: how keys and values are stored.
        table: exp for the softmax, by distance from the highest score.
        softmax: the table, the relative position bias, and the scale of the probabilities, for the kernels.
        arrays: connections laid out for running: ``query-key-value`` (in a block that is cut to the first token:
            ``query`` and ``key-value``), ``output``, ``ffn1``, ``ffn2``.
        heads: number of attention heads.
        cut: whether the block computes only the first token of each sequence.
        attention_readout, feed_forward_readout: map the potentials of ``output`` and ``ffn2`` to the residual stream.
    """

    connections: Mapping[str, Connection]
    populations: Mapping[str, Population]
    keys: Store
    values: Store
    table: NDArray[np.float32]
    attention_norm: Norm
    feed_forward_norm: Norm
    arrays: Mapping[str, Array]
    softmax: SoftmaxLayout
    attention_readout: Readout
    feed_forward_readout: Readout
    heads: int
    cut: bool

    def __post_init__(self) -> None:
        for name in ("connections", "populations", "arrays"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> Any:
        own = (getattr(self, one.name) for one in fields(self))
        return Block, tuple(dict(value) if isinstance(value, Mapping) else value for value in own)

    @cached_property
    def attention(self) -> AttentionLayout:
        """Attention, for the kernels."""
        queries, probabilities = (self.populations[name].layout for name in ("queries", "probabilities"))
        return AttentionLayout(self.heads, queries, probabilities, self.softmax)

    @cached_property
    def layout(self) -> BlockLayout:
        """The whole block, for the kernels."""
        own, arrays = self.populations, {name: array.planes for name, array in self.arrays.items()}
        return BlockLayout(
            cut=self.cut,
            input=Coded(own["input"].pitch, own["input"].layout),
            entry=arrays["key-value" if self.cut else "query-key-value"],
            query=arrays["query" if self.cut else "query-key-value"],
            queries=_fired(own["queries"]),
            keys=Stored(self.keys.limits, self.keys.bits),
            values=Stored(self.values.limits, self.values.bits),
            attention=self.attention,
            context=_fired(own["context"]),
            output=arrays["output"],
            attention_readout=self.attention_readout,
            hidden=Coded(own["hidden"].pitch, own["hidden"].layout),
            ffn1=arrays["ffn1"],
            intermediate=_fired(own["intermediate"]),
            ffn2=arrays["ffn2"],
            feed_forward_readout=self.feed_forward_readout,
        )


def _fired(population: Population) -> Fired:
    assert population.limits is not None
    return Fired(population.limits, population.layout)


def _spread(values: NDArray[Any], neurons: int, kind: type[np.generic]) -> NDArray[Any]:
    """Repeat a single value for every neuron. Returns a frozen, contiguous array ``[neurons]``."""
    return frozen(np.broadcast_to(values.astype(kind).reshape(-1), (neurons,)))


def _padded(values: NDArray[np.int16]) -> NDArray[np.int16]:
    """Append zeros up to a multiple of :data:`LANES`, the number of neurons that a kernel reads at once."""
    return frozen(np.pad(values, (0, -len(values) % LANES)))


def _limits(thresholds: NDArray[np.int32]) -> Limits:
    lines = as_lines(thresholds)
    return Limits(frozen(thresholds.T), frozen(np.empty((2, 0), np.float32) if lines is None else lines))
