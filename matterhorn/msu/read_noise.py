"""Read noise of sums: every cell fluctuates anew in each read, and a neuron sees the sum."""

from __future__ import annotations

import torch
from torch import Tensor

from .device import Device


def read_spread(conductance: Tensor, device: Device, seconds: float) -> Tensor:
    """Spread of one read of each cell as a share of its conductance, ``seconds`` after writing."""
    if device.read is None:
        return torch.zeros_like(conductance)
    relative = torch.full_like(conductance, device.read.relative.si)
    if device.read.flicker is not None:
        relative = torch.hypot(relative, device.read.flicker(conductance / device.high, seconds))
    return relative


def pair_variance(conductance: Tensor, seen: Tensor, device: Device, seconds: float) -> Tensor:
    """Variance of one read of each pair, S²: ``[..., rows, columns] → [..., rows, pairs]``.

    ``seen`` is the conductance as seen through the wires: a cell's noise reaches its neuron with the attenuation that
    its signal suffers (first order in the wires' loss).
    """
    squared = (read_spread(conductance, device, seconds) * seen) ** 2
    return squared[..., 0::2] + squared[..., 1::2]


def outer_factors(variance: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column factors of the outer product with the same margins. ``[..., n, m] → [..., n], [..., m]``.

    The noise of a sum over many rows needs Σ_i κ_i² s_ij; the outer product spares that second matrix product. It is
    exact where all pairs are equally noisy (1-bit weights), and else right on average over rows and over columns.
    """
    total = variance.mean((-2, -1), keepdim=True).clamp(min=1e-60)
    return variance.mean(-1), (variance.mean(-2, keepdim=True) / total).squeeze(-2)
