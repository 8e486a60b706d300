"""Work that follows the events: each adds one packed row of weights, and silence costs nothing."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from ..coding import Code
from ..models.spiking import Connection, Firing
from .attention import Attention, Mixture
from .costs import Costs, machine_costs
from .exact import ExactEngine
from .fused import fits, fused_attention, say_once
from .kernels.attention import attend_bits
from .kernels.connection import NARROW, count_spikes, integrate
from .limits import check_sums
from .packed import packed_weights
from .prepare import kernel_code

PACKED_FROM = 256
"""Tokens from which keys and values are packed to bits: below, a row of bytes is a few vectors, packing costs more."""

MANY_ROWS, BEYOND_CACHES = 512, 1.45
"""Rows from which sums leave the caches, and how much longer adding then takes at most (seen at 1024 rows); the dense
product also shares so many rows among threads, which adding does not. Whole networks run in tiles of fewer rows."""


class EventsEngine:
    """Lists events and adds bit-packed weights for each; takes the dense int8 product where events are too many.

    Args:
        costs: what decides between the two (default: measured once on this machine). It never decides the answer.
    """

    name = "events"
    draws = False

    def __init__(self, costs: Costs | None = None) -> None:
        self.costs = _costs() if costs is None else costs
        self.dense = ExactEngine()

    def integrate(self, slots: Tensor, code: Code, connection: Connection) -> Tensor:
        """See :class:`~matterhorn.engines.Engine`."""
        reach = kernel_code(code, slots.shape[-1]).reach
        if reach > NARROW:
            say_once(f"|κ| up to {reach}: connections take the dense product")
            return self.dense.integrate(slots, code, connection)
        rows = slots.reshape(-1, slots.shape[-1]).contiguous()
        if not self.pays(rows, connection):
            return self.dense.integrate(slots, code, connection)
        return integrate_events(rows, code, connection).view(*slots.shape[:-1], -1)

    def pays(self, slots: Tensor, connection: Connection) -> bool:
        """Whether adding the events of slots ``[rows, in]`` is expected to take less time than the dense product."""
        fan_out, fan_in = connection.weights.shape
        words, events = packed_weights(connection).words, count_spikes(slots.numpy())
        adding = self.costs.sparse(len(slots), events, words)
        if len(slots) > MANY_ROWS:
            adding *= BEYOND_CACHES * torch.get_num_threads()
        return adding <= self.costs.dense(len(slots), fan_in, fan_out)

    def integrate_stored(self, slots: Tensor, code: Code, operand: Tensor) -> Tensor:
        """See :class:`~matterhorn.engines.Engine`. Outside attention the closed form serves."""
        return self.dense.integrate_stored(slots, code, operand)

    def attend(self, given: Attention) -> Mixture:
        """See :class:`~matterhorn.engines.Engine`. Packed bits pay where rows of keys are long."""
        if given.block.keys.bits != 1 or given.ragged.longest < PACKED_FROM or not fits(given):
            return self.dense.attend(given)
        return fused_attention(attend_bits, given)

    def fire(self, potentials: Tensor, population: Firing) -> Tensor:
        """See :class:`~matterhorn.engines.Engine`."""
        return self.dense.fire(potentials, population)


def integrate_events(slots: Tensor, code: Code, connection: Connection) -> Tensor:
    """Events through packed weights. Slots uint8 ``[rows, in]`` → potentials int32 ``[rows, out]``."""
    check_sums(connection, code)
    packed, own = packed_weights(connection), kernel_code(code, slots.shape[1])
    out = np.empty((len(slots), len(packed.offset)), np.int32)
    weights = packed.planes, packed.factors, packed.floor, packed.offset
    if not integrate(slots.numpy(), own.read, own.unit, own.top, *weights, out):
        raise ValueError(f"a spike outside its window of {own.top + 1} slots")
    return torch.from_numpy(out)[:, : len(connection.bias)]


@cache
def _costs() -> Costs:
    return machine_costs()
