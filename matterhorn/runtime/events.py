"""Work that follows the events: each adds one packed row of weights, and silence costs nothing."""

from __future__ import annotations

import numpy as np

from ..kernels.attention import attend_bits
from ..kernels.connections import NARROW, integrate
from ..program.parts import Array, Population
from .backend import Attended, Attention, Potentials, Slots, room, window_error
from .exact import ExactBackend, attended

PACKED_FROM = 256
"""Tokens from which keys and values are packed to bits: below, a row of bytes is a few vectors, packing costs more."""


class EventsBackend(ExactBackend):
    """Lists events and adds bit-packed weights for each. Where |κ| needs more than 7 bits, the closed form serves."""

    name = "events"

    def integrate(self, slots: Slots, array: Array, source: Population) -> Potentials:
        """See :class:`.backend.Backend`."""
        if source.code.reach > NARROW:
            return super().integrate(slots, array, source)
        out = room(len(slots), len(array.planes.offset), np.int32)
        if not integrate(slots, source.layout, array.planes, out):
            raise window_error(source)
        return out

    def attend(self, given: Attention) -> Attended:
        """See :class:`.backend.Backend`. Packed bits pay where rows of keys are long."""
        populations = given.block.populations
        reach = max(populations[name].code.reach for name in ("queries", "probabilities"))
        if given.block.keys.bits != 1 or given.sequences.longest < PACKED_FROM or reach > NARROW:
            return super().attend(given)
        return attended(attend_bits, given)
