"""The reference, slow and plain: membranes integrate slot by slot, a falling threshold fires them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..coding import encode
from ..kernels.layout import CodeLayout, SoftmaxLayout
from ..kernels.stepped import fire_steps, integrate_steps
from ..program.parts import Array, Population
from .backend import Attended, Attention, Levels, Potentials, Slots, room


class SteppedBackend:
    """Simulates every slot of every window. Sums are integers, so the order of slots is free."""

    name = "stepped"
    draws = False

    def integrate(self, slots: Slots, array: Array, source: Population) -> Potentials:
        """See :class:`.backend.Backend`."""
        out = room(len(slots), array.fan_out, np.int32)
        integrate_steps(slots, source.layout, array.rows, array.offset, out)
        return out

    def attend(self, given: Attention) -> Attended:
        """See :class:`.backend.Backend`. Sequence by sequence, step by step, as the definitions have it."""
        block, heads = given.block, given.heads
        queries, probabilities = block.populations["queries"], block.populations["probabilities"]
        potentials, levels = [], []
        for (begin, end), (first, last) in zip(pairwise(given.starts), pairwise(given.rows), strict=True):
            own = _split(given.queries[first:last], heads)
            keys, values = (_split(x[begin:end], heads).astype(np.float64) for x in (given.keys, given.values))
            ramp_of = queries.layout.reference.reshape(heads, 1, -1)
            constant = queries.layout.constant.reshape(heads, 1, -1)
            scores = _slot_by_slot(own, queries.layout, ramp_of, keys.swapaxes(1, 2))
            scores += (constant * keys).sum(-1)[:, None]
            probable = _probability_levels(scores, block.softmax, probabilities)
            sent = encode(probable, probabilities.code)
            context = _slot_by_slot(sent, probabilities.layout, probabilities.layout.reference, values)
            context += int(probabilities.layout.constant[0]) * values.sum(1, keepdims=True)
            levels.append(probable.ravel())
            potentials.append(context.swapaxes(0, 1).reshape(last - first, -1).astype(np.int32))
        return Attended(np.concatenate(potentials), np.concatenate(levels))

    def fire(self, potentials: Potentials, left: int, population: Population) -> Slots:
        """See :class:`.backend.Backend`. Masked slots stay quiet, but a neuron that crosses there is done."""
        slots = room(len(potentials), population.neurons, np.uint8)
        fire_steps(potentials[:, left:], population.limits, population.layout, slots)
        return slots


def _slot_by_slot(
    slots: Slots, code: CodeLayout, reference: NDArray[np.int16], stored: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Spikes ``[heads, rows, in]`` against stored operands ``[heads, in, out]``: a spike in slot t adds its operand
    times the ramp at t. All numbers are integers, far below what float64 holds exactly."""
    membrane = np.zeros((*slots.shape[:-1], stored.shape[-1]))
    for slot in range(code.top + 1):
        arriving = (slots == slot) * (code.unit * (code.top - slot) - reference.astype(np.float64))
        membrane += arriving @ stored
    return membrane


def _probability_levels(scores: NDArray[np.float64], softmax: SoftmaxLayout, population: Population) -> Levels:
    """Softmax by table, division, quantizer: ``[heads, rows, keys] → uint8``."""
    distance = np.minimum(scores.max(-1, keepdims=True) - scores, len(softmax.table) - 1)
    weights = softmax.table[distance.astype(np.int64)]
    total = np.maximum(weights.sum(-1, keepdims=True, dtype=np.float64), 1).astype(np.float32)
    if softmax.by_shifts:
        total = np.exp2(np.ceil(np.log2(total))).astype(np.float32)
    levels: NDArray[np.float32] = np.rint((weights / total) / softmax.scale)
    return levels.clip(0, population.code.top).astype(np.uint8)


def _split(x: NDArray[Any], heads: int) -> NDArray[Any]:
    """``[L, width] → [heads, L, size]``."""
    return x.reshape(len(x), heads, -1).swapaxes(0, 1)
