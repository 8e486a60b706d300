"""The ``stepped`` backend, slow and plain, is the reference.

Membranes integrate slot by slot, and a falling threshold makes them fire.
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
        """See :class:`.backend.Backend`. Sequence by sequence, head by head, as the definitions have it."""
        size = given.queries.shape[1] // given.heads
        potentials, levels = np.empty(given.queries.shape, np.int32), []
        for (begin, end), (first, last) in zip(pairwise(given.sequences.starts), pairwise(given.rows), strict=True):
            for head in range(given.heads):
                part = slice(head * size, (head + 1) * size)
                queries = np.ascontiguousarray(given.queries[first:last, part])
                keys, values = (np.ascontiguousarray(x[begin:end, part]) for x in (given.keys, given.values))
                bias = _bias(given, head, begin, last - first, end - begin)
                probable, context = _head(given.block, queries, keys, values, part, bias)
                levels.append(probable.ravel())
                potentials[first:last, part] = context
        return Attended(potentials, np.concatenate(levels))

    def fire(self, potentials: Potentials, left: int, population: Population) -> Slots:
        """See :class:`.backend.Backend`. Masked slots stay quiet, but a neuron that crosses the threshold in one is
        done.
        """
        assert population.limits is not None
        slots = np.empty((len(potentials), population.neurons), np.uint8)
        fire_steps(potentials[:, left:], population.limits.table, population.layout, slots)
        return slots


def _bias(given: Attention, head: int, begin: int, asking: int, keys: int) -> NDArray[np.int32]:
    """What distances add to the scores of one head of one sequence, ``[Q, keys]``."""
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
    """One head of one sequence: levels of its probabilities ``[Q, keys]``, potentials of its context ``[Q, size]``.

    ``part``: the head's neurons. ``bias``: added to its scores. Q·Kᵀ and P·V integrate slot by slot like any
    connection, the stored operand in place of weights; what the silent state adds is computed from it.
    """
    asking, probabilities = _of(block.populations["queries"].layout, part), block.populations["probabilities"]
    scores = np.empty((len(queries), len(keys)), np.int32)
    integrate_steps(queries, asking, np.ascontiguousarray(keys.T), keys.astype(np.int32) @ asking.constant, scores)
    probable = probability_levels(scores + bias, block.softmax, probabilities)
    telling = _of(probabilities.layout, np.zeros(len(keys), np.int64))  # one code for all keys
    context = np.empty((len(queries), values.shape[1]), np.int32)
    integrate_steps(
        encode(probable, probabilities.code), telling, values, telling.constant @ values.astype(np.int32), context
    )
    return probable, context


def _of(layout: CodeLayout, neurons: slice | NDArray[np.int64]) -> CodeLayout:
    """The code of some of a population's neurons."""
    return layout._replace(
        silent=layout.silent[neurons],
        reference=layout.reference[neurons],
        zero=layout.zero[neurons],
        constant=layout.constant[neurons],
    )


def probability_levels(scores: Potentials, softmax: SoftmaxLayout, population: Population) -> Levels:
    """Softmax by table, division, quantizer: ``[rows, keys] → uint8``."""
    distance = np.minimum(scores.max(-1, keepdims=True) - scores, len(softmax.table) - 1)
    weights = softmax.table[distance]
    total = np.maximum(weights.sum(-1, keepdims=True, dtype=np.float64), 1).astype(np.float32)
    if softmax.by_shifts:
        mantissa, exponent = np.frexp(total)
        total = np.ldexp(np.float32(1), exponent - (mantissa == 0.5))  # the power of two above, or itself
    levels: NDArray[np.float32] = np.rint((weights / total) / softmax.scale)
    return levels.clip(0, population.code.top).astype(np.uint8)
