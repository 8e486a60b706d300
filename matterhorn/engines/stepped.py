"""The reference engine, slow and plain: membranes integrate slot by slot, a falling threshold fires them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from ..coding import SILENT, Code
from ..models.spiking import Connection, Firing
from .attention import Attention, Mixture, attend_plainly


class SteppedEngine:
    """Simulates every slot of every window.

    A spike in slot t adds its weight times the kernel at t, the ramp κ(t) = (T − t) − r that all synapses of a row see;
    r is the level silence is read as. Sums are integers below 2²⁴, hence exact in float32.
    """

    name = "stepped"
    draws = False

    def integrate(self, slots: Tensor, code: Code, connection: Connection) -> Tensor:
        """See :class:`~matterhorn.engines.Engine`. Each spike reads one row: the weights of its neuron."""
        windows = slots.reshape(-1, slots.shape[-1])
        window, neuron = (windows != SILENT).nonzero(as_tuple=True)
        when = windows[window, neuron]
        rows = connection.weights.to(torch.float32).T.contiguous()
        membrane = connection.offset.to(torch.float32).expand(len(windows), -1).clone()
        for slot in range(code.slots):
            arriving = when == slot
            spiking = neuron[arriving]
            ramp = self._ramp(slot, code).expand(len(rows))[spiking]
            first = torch.searchsorted(window[arriving], torch.arange(len(windows)))
            membrane += embedding_bag(spiking, rows, first, mode="sum", per_sample_weights=ramp)
        return membrane.to(torch.int32).reshape(*slots.shape[:-1], -1)

    def integrate_stored(self, slots: Tensor, code: Code, operand: Tensor) -> Tensor:
        """See :class:`~matterhorn.engines.Engine`."""
        stored = operand.to(torch.float32)
        membrane = torch.zeros(*slots.shape[:-1], operand.shape[-1])
        for slot in range(code.slots):
            arriving = (slots == slot) * self._ramp(slot, code)
            membrane += arriving @ stored
        return membrane.to(torch.int32)

    def attend(self, given: Attention) -> Mixture:
        """See :class:`~matterhorn.engines.Engine`."""
        return attend_plainly(self, given)

    def fire(self, potentials: Tensor, population: Firing) -> Tensor:
        """See :class:`~matterhorn.engines.Engine`. Masked slots stay quiet, but a neuron that crosses there is done."""
        code = population.code
        slots = torch.full(potentials.shape, SILENT, dtype=torch.uint8)
        waiting = torch.ones(potentials.shape, dtype=torch.bool)
        for slot in range(code.slots):
            level = code.top - slot
            crossing = waiting
            if level > 0:
                crossing = waiting & (potentials >= population.thresholds[:, level - 1])
            masked = (level - code.silent).abs() <= code.dead_zone
            slots[crossing & ~masked] = slot
            waiting = waiting & ~crossing
        return slots

    @staticmethod
    def _ramp(slot: int, code: Code) -> Tensor:
        """Kernel at a slot, float32 ``[n or 1]``."""
        return (code.unit * (code.top - slot) - code.read_level).to(torch.float32)
