"""The ``stepped`` backend: the reference, written for clarity, not speed.

Membranes integrate slot by slot, and fire when a falling threshold meets their potential.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..coding import encode
from ..kernels.layout import CodeLayout, SoftmaxLayout
from ..kernels.stepped import fire_steps, integrate_steps
from ..program.parts import Array, Block, Population
from .backend import Attended, Attention, Levels, Potentials, Slots


class SteppedBackend:
    """Simulates every slot of every window. Sums are integers, so the order of slots does not matter."""

    name = "stepped"
    draws = False

    def integrate(self, slots: Slots, array: Array, source: Population) -> Potentials:
        """See :class:`.backend.Backend`."""
        out = np.empty((len(slots), array.fan_out), np.int32)
        integrate_steps(slots, source.layout, array.rows, array.offset, out)
        return out

    def attend(self, given: Attention) -> Attended:
        """See :class:`.backend.Backend`. Computes sequence by sequence and head by head, following the definitions."""
        size = given.queries.shape[1] // given.heads
        potentials, levels = np.empty(given.queries.shape, np.int32), []
        for (begin, end), (first, last) in zip(pairwise(given.sequences.starts), pairwise(given.rows), strict=True):
            for head in range(given.heads):
                part = slice(head * size, (head + 1) * size)
                queries = np.ascontiguousarray(given.queries[first:last, part])
                keys, values = (np.ascontiguousarray(x[begin:end, part]) for x in (given.keys, given.values))
                bias = _bias(given, head, begin, last - first, end - begin)
                probabilities, context = _head(given.block, queries, keys, values, part, bias)
                levels.append(probabilities.ravel())
                potentials[first:last, part] = context
        return Attended(potentials, np.concatenate(levels))

    def fire(self, potentials: Potentials, left: int, population: Population) -> Slots:
        """See :class:`.backend.Backend`. A neuron that crosses the threshold in a masked slot sends nothing."""
        assert population.limits is not None
        slots = np.empty((len(potentials), population.neurons), np.uint8)
        fire_steps(potentials[:, left:], population.limits.table, population.layout, slots)
        return slots


def _bias(given: Attention, head: int, begin: int, asking: int, keys: int) -> NDArray[np.int32]:
    """Return the relative position bias of one head for one sequence, ``[Q, keys]``; zeros if there is none."""
    bias, places = given.block.softmax.bias[head], given.sequences.places[begin : begin + keys]
    if not len(bias):
        return np.zeros((asking, keys), np.int32)
    found: NDArray[np.int32] = bias[len(bias) // 2 + places - places[:asking, None]]
    return found


def _head(
    block: Block,
    queries: Slots,
    keys: NDArray[np.int8],
    values: NDArray[np.int8],
    part: slice,
    bias: NDArray[np.int32],
) -> tuple[Levels, Potentials]:
    """Compute a head of a sequence: levels of probabilities ``[Q, keys]`` and potentials of the context ``[Q, size]``.

    Q·Kᵀ and P·V integrate slot by slot like any connection, with the stored operand in place of weights. The
    contribution of the silent state is computed from this operand.

    Args:
        part: the head's neurons.
        bias: added to the scores.
    """
    code, population = _of(block.populations["queries"].layout, part), block.populations["probabilities"]
    scores = np.empty((len(queries), len(keys)), np.int32)
    integrate_steps(queries, code, np.ascontiguousarray(keys.T), keys.astype(np.int32) @ code.constant, scores)
    levels = probability_levels(scores + bias, block.softmax, population)
    slots, code = encode(levels, population.code), _of(population.layout, np.zeros(len(keys), np.int64))
    context = np.empty((len(queries), values.shape[1]), np.int32)
    integrate_steps(slots, code, values, code.constant @ values.astype(np.int32), context)
    return levels, context


def _of(layout: CodeLayout, neurons: slice | NDArray[np.int64]) -> CodeLayout:
    """Return the code of some of a population's neurons, by index. An index may be repeated."""
    return layout._replace(
        silent=layout.silent[neurons],
        reference=layout.reference[neurons],
        zero=layout.zero[neurons],
        constant=layout.constant[neurons],
    )


def probability_levels(scores: Potentials, softmax: SoftmaxLayout, population: Population) -> Levels:
    """Compute the softmax by table, divide and quantize: integer scores ``[rows, keys] → uint8``."""
    distance = np.minimum(scores.max(-1, keepdims=True) - scores, len(softmax.table) - 1)
    weights = softmax.table[distance]
    total = np.maximum(weights.sum(-1, keepdims=True, dtype=np.float64), 1).astype(np.float32)
    if softmax.by_shifts:
        mantissa, exponent = np.frexp(total)
        total = np.ldexp(np.float32(1), exponent - (mantissa == 0.5))  # the smallest power of two that is not below
    levels: NDArray[np.float32] = np.rint((weights / total) / softmax.scale)
    return levels.clip(0, population.code.top).astype(np.uint8)
