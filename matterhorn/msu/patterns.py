"""Integration pattern by pattern, for arrays that no effective matrix describes: floating rows, nonlinear cells."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from .nodal import Network, column_currents


def pattern_charges(lengths: np.ndarray, network: Network, rate: float, limit: np.ndarray) -> np.ndarray:
    """Differential charge of each pair, in ampere-steps (amperes times kernel steps) ``[n, pairs]``.

    Between two pulse edges the drive does not change; each such interval is one solved network. Known patterns are not
    solved twice.

    Args:
        lengths: pulses ``[n, rows]`` in kernel steps. rate: kernel step over leak time constant.
        limit: charge at which each integrator saturates, in ampere-steps ``[pairs]``.
    """
    solved: dict[bytes, np.ndarray] = {}
    return np.stack([_charge(token, network, rate, limit, solved) for token in lengths])


def _charge(
    lengths: np.ndarray, network: Network, rate: float, limit: np.ndarray, solved: dict[bytes, np.ndarray]
) -> np.ndarray:
    size = np.abs(lengths)
    edges = np.unique(np.concatenate([[0.0], size]))[::-1]
    charge = np.zeros(network.cells.shape[1] // 2)
    for longer, shorter in pairwise(edges):
        signs = np.sign(lengths) * (size >= longer)
        key = signs.astype(np.int8).tobytes()
        if key not in solved:
            currents = column_currents(network, signs)
            solved[key] = currents[0::2] - currents[1::2]
        lasting = longer - shorter
        brought = -math.expm1(-rate * lasting) / rate if rate else lasting
        charge = np.clip(charge * math.exp(-rate * lasting) + brought * solved[key], -limit, limit)
    return charge
