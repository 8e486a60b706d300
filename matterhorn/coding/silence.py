"""Choosing the silent level from a calibration histogram, and what the choice silences.

A histogram is an integer tensor ``[neurons, T + 1]``: how often each neuron held each level. For one silent level per
tensor, sum it over the neurons first (``[1, T + 1]``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .code import READ_UNIT, Code


def level_histogram(levels: Tensor, bits: int) -> Tensor:
    """Count levels per neuron. Integer ``[..., neurons] → int64 [neurons, T + 1]``."""
    rows, width = levels.reshape(-1, levels.shape[-1]), 2**bits
    cells = rows.to(torch.int64) + width * torch.arange(rows.shape[1])
    return torch.bincount(cells.flatten(), minlength=width * rows.shape[1]).view(-1, width)


def most_frequent(histogram: Tensor) -> Tensor:
    """Silent level of each row: its mode, the lowest if several. ``[n, T + 1] → int64 [n]``."""
    return histogram.argmax(-1)


def least_cost(histogram: Tensor, *, dead_zone: int = 0, per_event: float = 1.0, per_kernel: float = 0.0) -> Tensor:
    """Silent level of each row that makes the expected cost of a window least. ``[n, T + 1] → int64 [n]``.

    A silent window costs nothing, a spike ``per_event + per_kernel · |q − m|`` (any unit, e.g. joules: what moving a
    spike costs, and what a row driven for |κ| slots costs). With ``per_kernel=0, dead_zone=0`` this is the mode.
    """
    levels = torch.arange(histogram.shape[-1])
    distance = (levels[None, :] - levels[:, None]).abs()  # [m, q]
    cost = (per_event + per_kernel * distance.to(torch.float64)).masked_fill(distance <= dead_zone, 0)
    return (histogram.to(torch.float64) @ cost.T).argmin(-1)


def mean_of_silent(histogram: Tensor, silent: Tensor, dead_zone: int) -> Tensor:
    """Mean of the levels that fall silent, in eighths of a level (int64 ``[n]``); the silent level where none did."""
    levels = torch.arange(histogram.shape[-1])
    swallowed = histogram * ((levels - silent[..., None]).abs() <= dead_zone)
    count = swallowed.sum(-1)
    mean = (swallowed * levels).sum(-1) / count.clamp(min=1)
    return torch.where(count > 0, (READ_UNIT * mean).round().to(torch.int64), READ_UNIT * silent)


def silent_share(histogram: Tensor, code: Code) -> float:
    """Share of neuron-windows without an event, were the histogram's levels sent by ``code``."""
    levels = torch.arange(code.slots)
    quiet = (levels - code.silent.reshape(-1, 1)).abs() <= code.dead_zone  # [n or 1, T + 1]
    return float((histogram * quiet).sum() / histogram.sum())
