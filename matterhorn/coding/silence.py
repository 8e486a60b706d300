"""Choose silent levels from calibration histograms, and compute what falls silent with them.

A histogram is an integer array ``[neurons, T + 1]``: how often each neuron had each level. For one silent level per
tensor, sum it over the neurons first (``[1, T + 1]``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .code import EIGHTHS, Code


def level_histogram(levels: NDArray[np.integer], bits: int) -> NDArray[np.int64]:
    """Count levels per neuron. Integers ``[..., neurons] → int64 [neurons, T + 1]``."""
    rows, width = levels.reshape(-1, levels.shape[-1]), 2**bits
    cells = rows.astype(np.int64) + width * np.arange(rows.shape[1])
    counts: NDArray[np.int64] = np.bincount(cells.ravel(), minlength=width * rows.shape[1]).reshape(-1, width)
    return counts


def most_frequent(histogram: NDArray[np.integer]) -> NDArray[np.int64]:
    """Silent level of each row: its most frequent level, or the lowest of several. ``[n, T + 1] → int64 [n]``."""
    modes: NDArray[np.int64] = histogram.argmax(-1)
    return modes


def mean_of_silent(histogram: NDArray[np.integer], silent: NDArray[np.integer], dead_zone: int) -> NDArray[np.int64]:
    """Mean of the levels that fall silent, in eighths of a level, int64 ``[n]``; the silent level if none did."""
    levels = np.arange(histogram.shape[-1])
    silenced = histogram * (np.abs(levels - silent[..., None]) <= dead_zone)
    count = silenced.sum(-1)
    mean = (silenced * levels).sum(-1) / np.maximum(count, 1)
    return np.where(count > 0, np.rint(EIGHTHS * mean).astype(np.int64), EIGHTHS * silent.astype(np.int64))


def silent_share(histogram: NDArray[np.integer], code: Code) -> float:
    """Share of neuron-windows without an event if ``code`` sends the levels of the histogram."""
    quiet = np.abs(np.arange(code.slots) - code.silent.reshape(-1, 1)) <= code.dead_zone  # [n or 1, T + 1]
    return float((histogram * quiet).sum() / histogram.sum())
