"""How programming can compensate for bad cells.

Cells that read back wrong are rewritten. Unimportant rows of weights are placed where cells are stuck.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .mapping import Layout, place_values

Real = NDArray[np.floating] | NDArray[np.bool_]


@dataclass(frozen=True)
class Correction:
    """How arrays are programmed.

    Attributes:
        verify_writes: maximum number of times that a cell is rewritten if a read finds it too far from its target.
        tolerance: deviation that a read accepts, as a share of the conductance range (chosen: 3 %).
        place_rows: whether rows of weights are placed on those word lines of their array where stuck cells harm them
            least.
    """

    verify_writes: int = 0
    tolerance: float = 0.03
    place_rows: bool = False

    def __post_init__(self) -> None:
        if self.verify_writes < 0:
            raise InputError(f"{self.verify_writes}", field="verify_writes", cure="give 0 or more writes")
        if not 0 < self.tolerance < 1:
            raise InputError(f"{self.tolerance}", field="tolerance", cure="give a share of the range between 0 and 1")


AS_WRITTEN = Correction()
"""One write, with rows in their given order."""


def row_order(target: Real, low: Real, high: Real, span: tuple[float, float], importance: Real) -> NDArray[np.int64]:
    """Which row of weights each word line of one array takes: int64 ``[rows]``, the cheapest assignment of all.

    Row i on word line p is off by the stuck cells of p; that costs ``importance[i] · Σ (target[i, c] − stuck[p, c])²``.

    Args:
        target: conductances ``[rows, cells]``, S.
        low, high: how much it counts that a cell ``[rows, cells]`` is stuck at either end of ``span``; 0: it is not.
        importance: ``[rows]``; the mean square of what drives a row makes the cost that of its neurons' error.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        cure = 'pip install "matterhorn-snn[msu]"'
        raise InputError("choosing rows needs scipy", field="place_rows", cure=cure) from error
    share = (target - span[0]) / (span[1] - span[0])
    cost = importance[:, None] * (share**2 @ low.T + (share - 1) ** 2 @ high.T)
    rows, lines = linear_sum_assignment(cost)
    order = np.empty(len(rows), np.int64)
    order[lines] = rows
    return order


def input_order(
    target: Real, stuck: tuple[Real, Real], span: tuple[float, float], layout: Layout, importance: Real
) -> NDArray[np.int64]:
    """Inputs in the order in which their rows lie in the arrays, int64 ``[fan_in]``; each keeps to its array.

    Args:
        target: siemens ``[slices, tiles, banks, rows, columns]``; stuck: low and high, bool of the same shape.
        importance: ``[fan_in]``.
    """
    heavy = np.repeat(place_values(layout) ** 2, layout.banks * 2 * layout.pairs)
    parts: list[NDArray[np.int64]] = []
    for tile in range(layout.tiles):
        first = layout.spare if tile == 0 else 0
        start = tile * layout.rows + first - layout.spare
        own, low, high = (
            np.moveaxis(cells[:, tile], 2, 0).reshape(layout.rows, -1)[first:] for cells in (target, *stuck)
        )
        scale = importance[start : start + len(own)]
        parts.append(start + row_order(own, low * heavy, high * heavy, span, scale))
    return np.concatenate(parts)
