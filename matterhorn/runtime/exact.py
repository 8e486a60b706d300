"""The closed form: one integer product per connection gives what all slots together would."""

from __future__ import annotations

import numpy as np

from ..coding import SILENT, kappa
from ..kernels.attention import attend_bytes
from ..kernels.connections import product
from ..kernels.digital import fire
from ..program.parts import Array, Population
from .backend import Attended, Attention, Potentials, Slots, room, window_error


class ExactBackend:
    """κ of all spikes at once, then integer products."""

    name = "exact"
    draws = False

    def integrate(self, slots: Slots, array: Array, source: Population) -> Potentials:
        """See :class:`.backend.Backend`."""
        if bool(((slots > source.code.top) & (slots != SILENT)).any()):
            raise window_error(source)
        out = room(len(slots), array.fan_out, np.int32)
        product(kappa(slots, source.code), array.rows, array.offset, out)
        return out

    def attend(self, given: Attention) -> Attended:
        """See :class:`.backend.Backend`."""
        return attended(attend_bytes, given)

    def fire(self, potentials: Potentials, left: int, population: Population) -> Slots:
        """See :class:`.backend.Backend`."""
        levels, slots = (room(len(potentials), population.neurons, np.uint8) for _ in range(2))
        fire(potentials, left, population.limits, population.layout, levels, slots)
        return slots


def attended(kernel: object, given: Attention) -> Attended:
    """Run a kernel of :mod:`matterhorn.kernels.attention`."""
    populations, heads = given.block.populations, given.heads
    queries, probabilities = populations["queries"], populations["probabilities"]
    levels, potentials = np.empty(heads * given.pairs, np.uint8), np.empty(given.queries.shape, np.int32)
    if not kernel(  # type: ignore[operator]
        given.queries,
        given.keys,
        given.values,
        given.rows,
        given.starts,
        given.sequences.places,
        heads,
        queries.layout,
        probabilities.layout,
        given.block.softmax,
        levels,
        potentials,
    ):
        raise window_error(queries)
    return Attended(potentials, levels)
