"""Work that follows the events: each adds one packed row of weights, and silence costs nothing."""

from __future__ import annotations

import numpy as np

from ..kernels.connections import NARROW, integrate
from ..program.parts import Array, Population
from .backend import Potentials, Slots, window_error
from .exact import ExactBackend


class EventsBackend(ExactBackend):
    """Lists events and adds bit-packed weights for each. Where |κ| needs more than 7 bits, the closed form serves."""

    name = "events"

    def integrate(self, slots: Slots, array: Array, source: Population) -> Potentials:
        """See :class:`.backend.Backend`."""
        if source.code.reach > NARROW:
            return super().integrate(slots, array, source)
        out = np.empty((len(slots), len(array.planes.offset)), np.int32)
        if not integrate(slots, source.layout, array.planes, out):
            raise window_error(source)
        return out
