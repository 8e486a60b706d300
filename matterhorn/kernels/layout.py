"""The arguments of kernels: named tuples of arrays that belong together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class CodeLayout(NamedTuple):
    """A population's code (:class:`matterhorn.coding.Code`), with one entry for each of its ``n`` neurons.

    Attributes:
        silent: silent level m of each neuron, int16 ``[n]``.
        low: lowest level of the dead zone, m − k modulo 256, uint8 ``[n]``.
        reference: silent value r of each neuron in steps of κ, int16 ``[n]``.
        unit: steps of κ per level.
        top: highest level T.
        dead_zone: k.
        zero: zero point of each neuron, int16 ``[n]``.
        constant: what silence stands for, reference − unit · zero, in steps of κ, int32 ``[n]``.
        silence: ``reference``, padded with zeros to a multiple of 64 neurons.
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
    """Thresholds, which turn the potentials of ``n`` neurons into levels.

    Attributes:
        table: int32 ``[T, n]``. A neuron has level l or more if its potential is at least ``table[l - 1]``.
        lines: slopes and shifts, float32 ``[2, n]``, with which the level is ⌊slope · potential + shift⌋, limited to
            0 … T. It has no columns (``[2, 0]``) unless this gives the level of the table for every integer potential.
    """

    table: NDArray[np.int32]
    lines: NDArray[np.float32]


class Planes(NamedTuple):
    """Integer weights as bit planes: w = floor + Σ_p factors[p] · bit_p, with one bit per synapse and plane.

    Attributes:
        choices: uint8 ``[planes, words, groups, 64]``, numbers 0 … 15. Columns are divided into words of 64 and inputs
            into groups of four. A number holds a column's bits of the four inputs of a group, the first input in the
            lowest bit.
        factors: int32 ``[planes]``.
        floor: smallest weight.
        offset: contribution of the silent state, int32 ``[64 · words]``.
    """

    choices: NDArray[np.uint8]
    factors: NDArray[np.int32]
    floor: int
    offset: NDArray[np.int32]


class Readout(NamedTuple):
    """How integer potentials are added to the residual stream, and the LayerNorm that follows.

    Attributes:
        scale, bias: a potential a stands for the real value a · scale + bias, float32 ``[n]``.
        weight, shift: weight and bias of the norm, float32 ``[n]``.
        eps: epsilon of the norm.
        by_shifts: whether the norm divides by a power of two.
    """

    scale: NDArray[np.float32]
    bias: NDArray[np.float32]
    weight: NDArray[np.float32]
    shift: NDArray[np.float32]
    eps: float
    by_shifts: bool


class Table(NamedTuple):
    """A table of embeddings: ``rows`` int8 ``[rows, n]``, and a ``scale`` for each row, float32 ``[rows]``."""

    rows: NDArray[np.int8]
    scale: NDArray[np.float32]


class SoftmaxLayout(NamedTuple):
    """How integer scores become attention probabilities.

    Attributes:
        table: float32; entry i stands for exp(−i steps of the score), as a whole number up to 2¹⁴. The last one is 0.
        bias: relative position bias in steps of the score, int32 ``[heads, 2 · longest − 1]``, by the position of the
            key minus that of the query, plus longest − 1. It has no columns if there is no bias.
        scale: real value of a level of the probabilities.
        by_shifts: whether divisions are by powers of two.
    """

    table: NDArray[np.float32]
    bias: NDArray[np.int32]
    scale: np.float32
    by_shifts: bool


class AttentionLayout(NamedTuple):
    """Attention: the number of heads, the codes of queries and probabilities, and the softmax.

    All probabilities have the same silent level, so their code has a single neuron.
    """

    heads: int
    queries: CodeLayout
    probabilities: CodeLayout
    softmax: SoftmaxLayout


class Coded(NamedTuple):
    """A population whose levels are quantized real values. ``pitch``: real distance of two levels, float32 ``[n]``."""

    pitch: NDArray[np.float32]
    code: CodeLayout


class Fired(NamedTuple):
    """A population whose levels follow from potentials."""

    limits: Limits
    code: CodeLayout


class Stored(NamedTuple):
    """Keys or values, stored with ``bits`` bits per element."""

    limits: Limits
    bits: int


class BlockLayout(NamedTuple):
    """All parts of a block, for :func:`.block.run_block`.

    Attributes:
        cut: whether the block computes only the first token of each sequence.
        entry: weights of query, key and value side by side; in a cut block, those of key and value.
        query: weights of the query in a cut block; else the same as ``entry``.
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
