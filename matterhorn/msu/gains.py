"""Estimate what fraction of each output a chip retains, so that a digital scale can restore it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


def trusted_gains(weights: Real, matrix: Real) -> Real:
    """Estimate the factor by which a chip shrinks each output: float64 ``[fan_out]``, all above 0.

    For a single column, the least-squares factor from its weights w to the values e that the chip multiplies by is
    Σ w·e / Σ w². Errors of single cells make this estimate uncertain, with the variance s² / Σ w², which is small for
    hundreds of weights and infinite for none. How much gains really differ between columns, τ², follows from all
    columns together (the method of moments of DerSimonian and Laird, Controlled Clinical Trials 7, 1986). Of a column's
    difference from the common gain, the share τ² / (τ² + s² / Σ w²) is kept. An output without weights has the common
    gain. So does one whose gain would be 0 or less, since amplifying it would only amplify noise.

    Args:
        weights: integers ``[fan_in, fan_out]``.
        matrix: what the chip multiplies by instead, ``[fan_in, fan_out]``.
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
