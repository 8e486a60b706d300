"""The closed form: one integer product per connection gives what all slots together would."""

from __future__ import annotations

import torch
from torch import Tensor

from ..coding import Code, encode, kernel
from ..models.spiking import Connection, Firing


class ExactEngine:
    """Kernels κ of all spikes at once, products in int8 with int32 sums (float32 where |κ| needs more than 7 bits)."""

    name = "exact"

    def integrate(self, slots: Tensor, code: Code, connection: Connection) -> Tensor:
        """See :class:`~matterhorn.engines.Engine`."""
        kappa = kernel(slots, code)
        if code.unit * code.top > 127:
            sums = (kappa.to(torch.float32) @ connection.weights.to(torch.float32).T).to(torch.int32)
        else:
            rows = kappa.to(torch.int8).reshape(-1, kappa.shape[-1])
            sums = torch._int_mm(rows, connection.weights.T).view(*kappa.shape[:-1], -1)
        return sums + connection.offset

    def integrate_stored(self, slots: Tensor, code: Code, operand: Tensor) -> Tensor:
        """See :class:`~matterhorn.engines.Engine`. Sums stay below 2²⁴, so float32 holds them exactly."""
        return (kernel(slots, code).to(torch.float32) @ operand.to(torch.float32)).to(torch.int32)

    def fire(self, potentials: Tensor, population: Firing) -> Tensor:
        """See :class:`~matterhorn.engines.Engine`."""
        return encode(population.levels(potentials), population.code)
