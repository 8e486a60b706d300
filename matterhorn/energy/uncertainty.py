"""How sure a bill is: numbers drawn between their bounds, intervals of the bills, and which numbers drive them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..units import si_factor
from .chip import Chip
from .library import with_value
from .mapping import hardware_of
from .rivals import Comparison, Side, rivals

DRAWS, SEED = 1000, 1

CHOSEN = {"1", "bit", "m"}
"""Dimensions of numbers that are choices, not uncertain: sizes, widths of words, the node."""

PERCENTILES = 5, 95

Draws = NDArray[np.float64]


def latin_hypercube(dimensions: int, count: int, rng: np.random.Generator) -> Draws:
    """Shares of one ``[dimensions, count]``: in each dimension one in every ``1 / count``, in an order of its own
    (McKay, Beckman, Conover 1979)."""
    strata = rng.permuted(np.tile(np.arange(count), (dimensions, 1)), axis=1)
    shares: Draws = (strata + rng.random((dimensions, count))) / count
    return shares


def uncertain(chip: Chip) -> dict[str, tuple[float, float]]:
    """Bounds (SI) of the numbers that are drawn, by key."""
    return {
        key: (low * si_factor(q.unit)[0], high * si_factor(q.unit)[0])
        for key, q in chip.quantities()
        for low, high in [q.bounds]
        if si_factor(q.unit)[1] not in CHOSEN and 0 < low < high
    }


def draw(count: int = DRAWS, seed: int = SEED, **bounds: tuple[float, float]) -> dict[str, Draws]:
    """Values ``[count]`` of each number, uniform in their logarithm between its bounds."""
    shares = latin_hypercube(len(bounds), count, np.random.default_rng(seed))
    return {key: low * (high / low) ** row for (key, (low, high)), row in zip(bounds.items(), shares, strict=True)}


def uncertainty(side: Side, chip: Chip, comparison: Comparison, count: int = DRAWS, seed: int = SEED) -> dict[str, Any]:
    """Intervals (5 to 95 %) of total and ratios, in how many draws ours wins, and the numbers that drive both.

    ``drivers`` have rank correlations with the total and with the smallest ratio, the strongest first.
    """
    spikes = {f"{r.name}: spikes": (r.spikes.bounds, r.spikes.value) for r in rivals()}
    values = draw(count, seed, **uncertain(chip), **{key: limits for key, (limits, _) in spikes.items()})
    drawn = chip
    for key in uncertain(chip):
        drawn = with_value(drawn, key, values[key])
    sides = {
        r.name: comparison.rivals[r.name].scaled(values[f"{r.name}: spikes"] / r.spikes.value)  # type: ignore[arg-type]
        for r in rivals()
    }
    ratios = replace(comparison, rivals=sides).ratios(drawn)
    own = side.bill(drawn, hardware_of(chip)[-1])
    found = {
        "total_j": np.broadcast_to(own.total, count),
        "ratio_min": np.min([ratio for name, ratio in ratios.items() if name != "dense"], axis=0),
        "ratio_dense": np.broadcast_to(ratios["dense"], count),
    }
    correlations = {
        key: {of: _rank_correlation(value, found[of]) for of in ("total_j", "ratio_min")}
        for key, value in values.items()
    }
    strongest = sorted(correlations, key=lambda key: -max(abs(rank) for rank in correlations[key].values()))[:10]
    return {
        "interval": {key: np.percentile(drawn_, PERCENTILES).tolist() for key, drawn_ in found.items()},
        "draws": count,
        "wins": {"spiking": float((found["ratio_min"] > 1).mean()), "dense": float((found["ratio_dense"] > 1).mean())},
        "drivers": [{"key": key, **correlations[key]} for key in strongest],
    }


def _rank_correlation(x: Draws, y: Draws) -> float:
    """Spearman's."""
    ranks = np.stack([np.argsort(np.argsort(values)) for values in (x, y)]).astype(np.float64)
    return float(np.asarray(np.corrcoef(ranks))[0, 1])
