"""What a chip leaves of each output, as far as its cells tell it: what a digital scale restores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


def trusted_gains(weights: Real, matrix: Real) -> Real:
    """The factor by which a chip shrinks each output: ``float64 [fan_out]``, all above 0.

    A column alone says Σ w·e / Σ w², the factor that best turns its weights w into what the chip multiplies by, e. The
    errors of single cells make that uncertain by the variance s² / Σ w²: little where hundreds of weights are, all of
    it where there are none. How much gains really differ, τ², follows from all columns together (the method of moments
    of DerSimonian and Laird, Controlled Clinical Trials 7, 1986), and each gain is drawn towards what they have in
    common by the share τ² / (τ² + s² / Σ w²). An output without weights has the common gain, and so has one whose
    gain would be 0 or less: amplified, it would be noise.

    Args:
        weights, matrix: integers and what the chip makes of them, ``[fan_in, fan_out]``.
    """
    held, met = (weights * weights).sum(0), (weights * matrix).sum(0)
    common = float(met.sum() / held.sum()) if held.any() else 0.0
    if common <= 0:
        return np.ones(len(held))
    away = np.divide(met, held, out=np.full(len(held), common), where=held > 0) - common
    cell = float((weights * (matrix - common * weights) ** 2 * weights).sum() / held.sum())
    room = held.sum() - (held * held).sum() / held.sum()
    excess = float((held * away * away).sum()) - (np.count_nonzero(held) - 1) * cell
    apart = max(excess, 0.0) / room if room > 0 else 0.0
    sure = np.divide(apart * held, apart * held + cell, out=np.zeros(len(held)), where=held * apart > 0)
    gains = common + sure * away
    return np.where(gains > 0, gains, common)
