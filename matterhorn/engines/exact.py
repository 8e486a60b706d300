"""The closed form: one integer product per connection gives what all slots together would."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..coding import Code, encode, kernel
from ..models.spiking import Connection, Firing
from . import digital
from .attention import Attention, Mixture, attend_plainly
from .fused import fits, fused_attention
from .kernels.attention import attend_bytes
from .kernels.connection import NARROW, kernels_of
from .limits import check_sums
from .prepare import kernel_code


class ExactEngine:
    """Kernels κ of all spikes at once, products in int8 with int32 sums (float32 where |κ| needs more than 7 bits)."""

    name = "exact"
    draws = False

    def integrate(self, slots: Tensor, code: Code, connection: Connection) -> Tensor:
        """See :class:`~matterhorn.engines.Engine`."""
        check_sums(connection, code)
        if kernel_code(code, slots.shape[-1]).reach > NARROW:
            kappa = kernel(slots, code).to(torch.float32)
            return (kappa @ connection.weights.to(torch.float32).T).to(torch.int32) + connection.offset
        rows = slots.reshape(-1, slots.shape[-1]).contiguous()
        sums = torch._int_mm(narrow_kernel(rows, code), connection.weights.T)
        return sums.add_(connection.offset).view(*slots.shape[:-1], -1)

    def integrate_stored(self, slots: Tensor, code: Code, operand: Tensor) -> Tensor:
        """See :class:`~matterhorn.engines.Engine`. Sums stay below 2²⁴, so float32 holds them exactly."""
        return (kernel(slots, code).to(torch.float32) @ operand.to(torch.float32)).to(torch.int32)

    def attend(self, given: Attention) -> Mixture:
        """See :class:`~matterhorn.engines.Engine`."""
        return fused_attention(attend_bytes, given) if fits(given) else attend_plainly(self, given)

    def fire(self, potentials: Tensor, population: Firing) -> Tensor:
        """See :class:`~matterhorn.engines.Engine`."""
        if potentials.dim() != 2:
            return encode(population.levels(potentials), population.code)
        return digital.fire(potentials, population)


def narrow_kernel(slots: Tensor, code: Code) -> Tensor:
    """κ of slots ``[rows, n]`` as int8, for codes that reach no further."""
    own = kernel_code(code, slots.shape[1])
    kappa = np.empty(slots.shape, np.int8)
    if not kernels_of(slots.numpy(), own.read, own.unit, own.top, kappa):
        raise ValueError(f"a spike outside its window of {own.top + 1} slots")
    return torch.from_numpy(kappa)
