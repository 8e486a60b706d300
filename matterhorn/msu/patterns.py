"""Integration pattern by pattern, for arrays that no effective matrix describes: floating rows, nonlinear cells."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .nodal import Surroundings, column_currents


def solve_arrays(split: Tensor, cells: Tensor, around: Surroundings, rate: float, rails: Tensor) -> Tensor:
    """Charges of all integrators, in ampere-steps (amperes times kernel steps): float64 ``[slices, tiles, n, pairs]``.

    Args:
        split: pulses ``[tiles, n, rows]`` in kernel steps.
        cells: siemens ``[slices, tiles, banks, rows, columns]``; ``pairs`` counts those of all banks.
        rate: kernel step over leak time constant. rails: charges at which integrators stop ``[slices, tiles, pairs]``.
    """
    slices, tiles, banks = cells.shape[:3]
    limits = rails.unflatten(-1, (banks, -1)).numpy()
    charges = torch.zeros(slices, tiles, banks, split.shape[1], limits.shape[-1], dtype=torch.float64)
    for place in np.ndindex(slices, tiles, banks):
        lengths = split[place[1]].to(torch.float64).numpy()
        solved = pattern_charges(lengths, cells[place].numpy(), around, rate, limits[place])
        charges[place] = torch.from_numpy(solved)
    return charges.transpose(2, 3).flatten(-2)


def pattern_charges(
    lengths: np.ndarray, cells: np.ndarray, around: Surroundings, rate: float, rails: np.ndarray
) -> np.ndarray:
    """Differential charge of each pair of one array, in ampere-steps: ``[n, rows] → [n, pairs]``.

    Between two pulse edges the drive does not change; each such interval is one solved network. Known patterns are not
    solved twice.
    """
    known: dict[bytes, np.ndarray] = {}

    def current(signs: np.ndarray) -> np.ndarray:
        key = signs.astype(np.int8).tobytes()
        if key not in known:
            currents = column_currents(cells, around, signs)
            known[key] = currents[0::2] - currents[1::2]
        return known[key]

    return np.stack([_charge(token, current, rate, rails) for token in lengths])


def _charge(
    lengths: np.ndarray, current: Callable[[np.ndarray], np.ndarray], rate: float, rails: np.ndarray
) -> np.ndarray:
    size = np.abs(lengths)
    edges = np.unique(np.concatenate([[0.0], size]))[::-1]
    charge = np.zeros_like(rails)
    for longer, shorter in pairwise(edges):
        lasting = longer - shorter
        brought = -math.expm1(-rate * lasting) / rate if rate else lasting
        arriving = brought * current(np.sign(lengths) * (size >= longer))
        charge = np.clip(charge * math.exp(-rate * lasting) + arriving, -rails, rails)
    return charge
