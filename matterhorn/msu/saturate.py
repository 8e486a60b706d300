"""Saturating integrators: where a rail could be reached on the way, the way is walked; elsewhere one product does."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .pulses import remembered, step_memory


def saturating(lengths: Tensor, effective: Tensor, rate: float, limit: float) -> Tensor:
    """Potentials that stop at ± ``limit`` and stay there until charge of the other sign comes.

    Args:
        lengths: pulses ``[..., n, rows]`` in kernel steps; effective: ``[..., rows, out]`` in weights.
        rate: kernel step over leak time constant. limit: potential at the rail.
    """
    kept = remembered(lengths, rate)
    final = kept @ effective
    furthest = kept.abs().sum(-1).amax() * effective.abs().amax()
    if furthest <= limit:
        return final
    peak = (kept.abs() @ effective.abs() + final.abs()) / 2  # all charge of the larger sign first
    risky = (peak > limit).any(-1)
    stacks = lengths.expand(*final.shape[:-1], lengths.shape[-1])
    for place in np.ndindex(*final.shape[:-2]):
        rows = risky[place].nonzero()[:, 0]
        if len(rows) == 0:
            continue
        final[place][rows] = _walk(stacks[place][rows], effective[place], rate, limit)
    return final


def _walk(lengths: Tensor, effective: Tensor, rate: float, limit: float) -> Tensor:
    """Step by step towards the common end of all pulses. ``[n, rows], [rows, out] → [n, out]``."""
    keep, bring = step_memory(rate)
    potential = lengths.new_zeros(len(lengths), effective.shape[-1])
    for step in range(int(lengths.abs().amax().ceil()), 0, -1):
        driven = (lengths.abs() - (step - 1)).clamp(0, 1).copysign(lengths)
        potential = (keep * potential + bring * (driven @ effective)).clamp(-limit, limit)
    return potential
