"""Uncertainty of a bill. All numbers are drawn between their bounds.

The result is an interval for each bill, and a list of the numbers with the most influence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..units import Quantity, si_factor
from .chip import Chip
from .library import with_value
from .mapping import Hardware
from .rivals import Comparison, Side, rivals

DRAWS, SEED = 1000, 1

CHOSEN = {"1", "bit", "m"}
"""Dimensions of numbers that are choices and thus not uncertain: sizes, word widths, the node. Among numbers without a
dimension, only operation counts of digital functions are uncertain.
"""

CHANCE, STRONGEST = 3, 10
"""Standard deviations by which a rank correlation of a driver stands out of chance, and how many drivers are named."""

PERCENTILES = 5, 95

Draws = NDArray[np.float64]


def latin_hypercube(dimensions: int, count: int, rng: np.random.Generator) -> Draws:
    """Draw numbers from 0 to 1, ``[dimensions, count]``: in each dimension one in every interval of ``1 / count``, in
    random order (McKay, Beckman, Conover 1979).
    """
    strata = rng.permuted(np.tile(np.arange(count), (dimensions, 1)), axis=1)
    shares: Draws = (strata + rng.random((dimensions, count))) / count
    return shares


def varies(key: str, number: Quantity) -> bool:
    """Whether a number of a chip is drawn. Choices and zeros are not."""
    low, high = number.bounds
    return 0 < low < high and (key.startswith("digital.") or si_factor(number.unit)[1] not in CHOSEN)


def uncertain(chip: Chip) -> dict[str, tuple[float, float]]:
    """Return the bounds (SI) of the numbers that are drawn, by key."""
    return {
        key: (low * si_factor(q.unit)[0], high * si_factor(q.unit)[0])
        for key, q in chip.quantities()
        for low, high in [q.bounds]
        if varies(key, q)
    }


def draw(count: int = DRAWS, seed: int = SEED, **bounds: tuple[float, float]) -> dict[str, Draws]:
    """Draw values ``[count]`` of each number, log-uniform between its bounds."""
    shares = latin_hypercube(len(bounds), count, np.random.default_rng(seed))
    return {key: low * (high / low) ** row for (key, (low, high)), row in zip(bounds.items(), shares, strict=True)}


def uncertainty(
    side: Side, chip: Chip, comparison: Comparison, hardware: Hardware, count: int = DRAWS, seed: int = SEED
) -> dict[str, Any]:
    """Compute intervals (5 to 95 %) of total and ratios, the share of draws in which ours wins, and the decisive
    numbers.

    The spikes of rivals only enter figures about rivals.
    """
    spikes = {f"{r.name}: spikes": (r.spikes.bounds, r.spikes.value) for r in rivals()}
    own_bounds = uncertain(chip)
    values = draw(count, seed, **own_bounds, **{key: limits for key, (limits, _) in spikes.items()})
    drawn = chip
    for key in own_bounds:
        drawn = with_value(drawn, key, values[key])
    sides = {
        r.name: comparison.rivals[r.name].scaled(values[f"{r.name}: spikes"] / r.spikes.value)  # type: ignore[arg-type]
        for r in rivals()
    }
    ratios = replace(comparison, rivals=sides).ratios(drawn)
    own = side.bill(drawn, hardware)
    found = {
        "total_j": np.broadcast_to(own.total, count),
        "ratio_min": np.min([ratio for name, ratio in ratios.items() if name != "dense"], axis=0),
        "ratio_dense": np.broadcast_to(ratios["dense"], count),
    }
    of_chip = {key: values[key] for key in own_bounds}
    return {
        "interval": {key: np.percentile(drawn_, PERCENTILES).tolist() for key, drawn_ in found.items()},
        "draws": count,
        "wins": {"spiking": float((found["ratio_min"] > 1).mean()), "dense": float((found["ratio_dense"] > 1).mean())},
        "drivers": {of: drivers(values if of == "ratio_min" else of_chip, drawn_) for of, drawn_ in found.items()},
    }


def drivers(values: Mapping[str, Draws], outcome: Draws) -> list[dict[str, Any]]:
    """Return the numbers whose rank correlation with an outcome exceeds chance, and that ``rank``, strongest first."""
    ranks = {key: _rank_correlation(value, outcome) for key, value in values.items()}
    strongest = sorted(ranks, key=lambda key: -abs(ranks[key]))[:STRONGEST]
    least = CHANCE / len(outcome) ** 0.5
    return [{"key": key, "rank": ranks[key]} for key in strongest if abs(ranks[key]) > least]


def _rank_correlation(x: Draws, y: Draws) -> float:
    """Spearman's rank correlation."""
    ranks = np.stack([np.argsort(np.argsort(values)) for values in (x, y)]).astype(np.float64)
    return float(np.asarray(np.corrcoef(ranks))[0, 1])
