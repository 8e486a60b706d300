"""The ``exact`` backend: in closed form, one integer product per connection gives the sum over all slots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..coding import SILENT, kappa
from ..kernels.attention import attend, attention_room
from ..kernels.connections import product
from ..kernels.digital import fire
from ..program.parts import Array, Population
from .backend import Attended, Attention, Potentials, Slots, window_error


class ExactBackend:
    """Computes κ of all spikes, and then integer products."""

    name = "exact"
    draws = False

    def integrate(self, slots: Slots, array: Array, source: Population) -> Potentials:
        """See :class:`.backend.Backend`."""
        out = np.empty((len(slots), array.fan_out), np.int32)
        product(checked_kappa(slots, source), array.rows, array.offset, out)
        return out

    def attend(self, given: Attention) -> Attended:
        """See :class:`.backend.Backend`."""
        block, lengths = given.block, given.sequences.lengths
        out = np.empty(given.queries.shape, np.int32)
        operands = (given.queries, given.keys, given.values)
        places = (given.rows, given.sequences.starts, given.sequences.places)
        room = attention_room(given.queries.shape[1] // given.heads, int(lengths.max()), given.heads * given.pairs)
        if not attend(*operands, *places, block.attention, room, out, 0):
            raise window_error(block.populations["queries"])
        return Attended(out, room.record)

    def fire(self, potentials: Potentials, left: int, population: Population) -> Slots:
        """See :class:`.backend.Backend`."""
        levels, slots = (np.empty((len(potentials), population.neurons), np.uint8) for _ in range(2))
        fire(potentials, left, population.limits, population.layout, levels, slots)
        return slots


def checked_kappa(slots: Slots, source: Population) -> NDArray[np.int16]:
    """Return κ of slots, all of which must lie within the window."""
    if bool(((slots > source.code.top) & (slots != SILENT)).any()):
        raise window_error(source)
    return kappa(slots, source.code)
