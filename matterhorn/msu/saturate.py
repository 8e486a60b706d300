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
    strongest = effective.abs().amax((-2, -1))[..., None]
    risky = _peak(kept.abs().sum(-1) * strongest, final.abs().amax(-1)) > limit
    stacks = lengths.expand(*final.shape[:-1], lengths.shape[-1])
    for place in np.ndindex(*final.shape[:-2]):
        rows = risky[place].nonzero()[:, 0]
        if len(rows) == 0:
            continue
        moved = remembered(stacks[place][rows], rate).abs() @ effective[place].abs()
        rows = rows[(_peak(moved, final[place][rows].abs()) > limit).any(-1)]
        if len(rows) > 0:
            final[place][rows] = _walk(stacks[place][rows], effective[place], rate, limit)
    return final


def _peak(moved: Tensor, final: Tensor) -> Tensor:
    """Furthest that a potential can have been, were all charge of the larger sign to come first."""
    return (moved + final) / 2


def _walk(lengths: Tensor, effective: Tensor, rate: float, limit: float) -> Tensor:
    """Step by step towards the common end of all pulses. ``[n, rows], [rows, out] → [n, out]``."""
    keep, bring = step_memory(rate)
    potential = lengths.new_zeros(len(lengths), effective.shape[-1])
    for step in range(int(lengths.abs().amax().ceil()), 0, -1):
        driven = (lengths.abs() - (step - 1)).clamp(0, 1).copysign(lengths)
        potential = (keep * potential + bring * (driven @ effective)).clamp(-limit, limit)
    return potential
