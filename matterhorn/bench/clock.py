"""Fair timing: contestants take turns, so that a machine that slows down slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Median and interquartile range of one contestant, seconds."""

    median_s: float
    iqr_s: float
    times: int


def interleave(contestants: Mapping[str, Callable[[], object]], *, seconds: float, most: int = 25) -> dict[str, Timing]:
    """Time each contestant in turn, round after round, for about ``seconds`` (3 … ``most`` rounds after a warm-up)."""
    for run in contestants.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    deadline = time.perf_counter() + seconds
    for turn in range(most):
        if turn >= 3 and time.perf_counter() > deadline:
            break
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    return {name: _summary(values) for name, values in taken.items()}


def _summary(values: list[float]) -> Timing:
    low, middle, high = np.percentile(values, [25, 50, 75])
    return Timing(float(middle), float(high - low), len(values))
