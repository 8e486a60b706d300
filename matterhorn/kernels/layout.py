"""Arrays in the form that kernels take: named tuples of arrays that belong together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class CodeLayout(NamedTuple):
    """A population's code, spread over its ``n`` neurons.

    Attributes:
        silent: silent levels, int16 ``[n]``. low: the first level of the dead zone, uint8 ``[n]`` (of one below 0, its
            byte). reference: silent values in steps of κ, int16 ``[n]``.
        unit: steps of κ per level. top: T. dead_zone: k.
        zero: zero points, int16 ``[n]``. constant: what silence stands for, reference − unit · zero, int32 ``[n]``.
        silence: the reference again, n rounded up to a multiple of 64.
    """

    silent: NDArray[np.int16]
    low: NDArray[np.uint8]
    reference: NDArray[np.int16]
    unit: int
    top: int
    dead_zone: int
    zero: NDArray[np.int16]
    constant: NDArray[np.int32]
    silence: NDArray[np.int16]


class Limits(NamedTuple):
    """When a neuron reaches its levels.

    Attributes:
        table: thresholds, int32 ``[T, n]``: level ≥ l where the potential reaches number l.
        lines: the same as ⌊slope · potential + shift⌋ within 0 … T, float32 ``[2, n]``, slopes first; without columns
            where that does not give the same level for every potential.
    """

    table: NDArray[np.int32]
    lines: NDArray[np.float32]


class Planes(NamedTuple):
    """Weights as bit planes: w = floor + Σ_p factors[p] · bit_p, a bit per synapse and plane.

    Attributes:
        choices: the bits of four inputs together, a number 0 … 15: uint8 ``[planes, words, groups, 64]``, 64 columns to
            a word and four inputs to a group; the first input is the lowest bit. factors: int32 ``[planes]``.
        offset: what the silent state adds, int32 ``[64 · words]``.
    """

    choices: NDArray[np.uint8]
    factors: NDArray[np.int32]
    floor: int
    offset: NDArray[np.int32]


class Readout(NamedTuple):
    """From potentials to the residual stream: real value a · scale + bias, then a norm's weight and shift; all float32
    ``[n]``. ``by_shifts``: divisions are shifts."""

    scale: NDArray[np.float32]
    bias: NDArray[np.float32]
    weight: NDArray[np.float32]
    shift: NDArray[np.float32]
    eps: float
    by_shifts: bool


class Table(NamedTuple):
    """Rows in bytes with a scale each: int8 ``[rows, n]``, float32 ``[rows]``."""

    rows: NDArray[np.int8]
    scale: NDArray[np.float32]


class SoftmaxLayout(NamedTuple):
    """``table``: exp in steps of the score's scale, float32. ``scale``: of the probabilities' levels, float32.

    ``bias``: what is added to a score, in the same steps, for every distance of a key from the token that asks, int32
    ``[heads, 2 · longest − 1]``; without columns where nothing is.
    """

    table: NDArray[np.float32]
    bias: NDArray[np.int32]
    scale: np.float32
    by_shifts: bool


class AttentionLayout(NamedTuple):
    """``queries``, ``probabilities``: their codes; silence of probabilities is the same for all."""

    heads: int
    queries: CodeLayout
    probabilities: CodeLayout
    softmax: SoftmaxLayout


class Coded(NamedTuple):
    """A population that is made of real values. ``pitch``: distance of two levels, float32 ``[n]``."""

    pitch: NDArray[np.float32]
    code: CodeLayout


class Fired(NamedTuple):
    """A population that fires from potentials."""

    limits: Limits
    code: CodeLayout


class Stored(NamedTuple):
    """Keys or values of so many bits."""

    limits: Limits
    bits: int


class BlockLayout(NamedTuple):
    """A block, for :func:`.block.run_block`.

    Attributes:
        cut: whether only the first token of a sequence leaves it. entry: query, key and value; in a cut block key and
            value, and ``query`` alone (else the same as ``entry``).
    """

    cut: bool
    input: Coded
    entry: Planes
    query: Planes
    queries: Fired
    keys: Stored
    values: Stored
    attention: AttentionLayout
    context: Fired
    output: Planes
    attention_readout: Readout
    hidden: Coded
    ffn1: Planes
    intermediate: Fired
    ffn2: Planes
    feed_forward_readout: Readout
