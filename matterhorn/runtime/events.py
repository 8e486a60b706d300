"""The ``events`` backend, whose work is proportional to the events.

Inputs form groups. For each group with a spike, the sums over its weights are looked up. Silence costs nothing.
"""

from __future__ import annotations

import numpy as np

from ..kernels.connections import ROWS, integrate, lists_for
from ..program.parts import Array, Population
from .backend import Potentials, Slots, window_error
from .exact import ExactBackend


class EventsBackend(ExactBackend):
    """Lists events in groups, and looks up their sums over packed weights.

    If silent values lie so far outside the levels that the tables would overflow, which calibration never causes, the
    closed form of ``exact`` is used.
    """

    name = "events"

    def integrate(self, slots: Slots, array: Array, source: Population) -> Potentials:
        """See :class:`.backend.Backend`."""
        if not source.looked_up:
            return super().integrate(slots, array, source)
        out = np.empty((len(slots), len(array.planes.offset)), np.int32)
        lists = lists_for(slots.shape[1], min(ROWS, len(slots)))
        if not integrate(slots, source.layout, array.planes, lists, out):
            raise window_error(source)
        return out
