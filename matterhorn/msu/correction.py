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
    """Assign rows of weights to the word lines of one array at the lowest total cost.

    Row i on word line p is wrong where cells of p are stuck. This costs ``importance[i] · Σ_c (target[i, c] − stuck[p,
    c])²`` over the stuck cells c.

    Args:
        target: conductances ``[rows, cells]``, in siemens.
        low, high: weight of each cell ``[rows, cells]`` in the cost if it is stuck at the lower or upper end of
            ``span``; 0 if it is not stuck.
        span: lowest and highest conductance, in siemens.
        importance: weight of each row in the cost, ``[rows]``. With the mean square of what drives a row, the cost is
            the expected squared error of the neurons.

    Returns:
        For each word line the row that it takes, int64 ``[rows]``.
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
    """Choose the order of the rows of all arrays. Each row stays in its array.

    Args:
        target: conductances in siemens, ``[slices, tiles, banks, rows, columns]``.
        stuck: which cells are stuck at the lowest and at the highest conductance, bool, shaped like ``target``.
        span, importance: see :func:`row_order`; importance is ``[fan_in]``.
        layout: where the weights are.

    Returns:
        The input of each row, int64 ``[fan_in]``.
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
