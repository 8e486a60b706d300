"""The rate code others use, for comparison: level q is q spikes in T slots."""

from __future__ import annotations

import torch
from torch import Tensor


def encode_rate(levels: Tensor, bits: int) -> Tensor:
    """Spike trains of a rate code, spikes spread evenly. ``[...] → bool [T, ...]`` with T = 2^bits − 1."""
    top = 2**bits - 1
    steps = torch.arange(1, top + 1).view(-1, *[1] * levels.dim())
    levels = levels.to(torch.int64)
    return (steps * levels) // top != ((steps - 1) * levels) // top


def decode_rate(trains: Tensor) -> Tensor:
    """Levels of spike trains: the number of spikes. ``bool [T, ...] → int64 [...]``."""
    return trains.sum(0)
