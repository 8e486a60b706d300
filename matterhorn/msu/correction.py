"""What a programmer can do about bad cells: write again what reads back wrong, put light rows where cells are stuck."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from .mapping import Layout


@dataclass(frozen=True)
class Correction:
    """How arrays are programmed.

    Attributes:
        verify_writes: how often a cell may be written again where a read finds it too far from its target.
        tolerance: what a read leaves alone, as a share of the conductance range (chosen: 3 %).
        place_rows: whether rows of weights go to those word lines of their array where stuck cells harm them least.
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
"""One write, rows as they come."""


def row_order(target: Tensor, low: Tensor, high: Tensor, span: tuple[float, float], importance: Tensor) -> Tensor:
    """Which row of weights each word line of one array takes: int64 ``[rows]``, the cheapest assignment of all.

    Row i on word line p is off by the stuck cells of p; that costs ``importance[i] · Σ (target[i, c] − stuck[p, c])²``.

    Args:
        target: conductances ``[rows, cells]``, S. low, high: which cells ``[rows, cells]`` are stuck at ``span``.
        importance: ``[rows]``; the mean square of what drives a row makes the cost that of its neurons' error.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        cure = 'pip install "matterhorn-snn[msu]"'
        raise InputError("choosing rows needs scipy", field="place_rows", cure=cure) from error
    off = (target - span[0]).square() @ low.to(target.dtype).T + (target - span[1]).square() @ high.to(target.dtype).T
    cost = importance.to(torch.float64)[:, None] * (off / (span[1] - span[0]) ** 2).to(torch.float64)
    rows, lines = linear_sum_assignment(cost.numpy())
    order = torch.empty(len(rows), dtype=torch.int64)
    order[torch.from_numpy(lines)] = torch.from_numpy(rows)
    return order


def input_order(
    target: Tensor, stuck: tuple[Tensor, Tensor], span: tuple[float, float], layout: Layout, importance: Tensor
) -> Tensor:
    """Inputs in the order in which their rows lie in the arrays, int64 ``[fan_in]``; each keeps to its array.

    Args:
        target: siemens ``[slices, tiles, banks, rows, columns]``; stuck: low and high, bool of the same shape.
        importance: ``[fan_in]``.
    """
    spare = layout.tiles * layout.rows - layout.fan_in
    place = float(layout.base) ** torch.arange(layout.slices)
    weight = place.repeat_interleave(layout.banks * 2 * layout.pairs)
    parts: list[Tensor] = []
    for tile in range(layout.tiles):
        first = spare if tile == 0 else 0
        start = tile * layout.rows + first - spare
        own, low, high = (x[:, tile].transpose(1, 2).transpose(0, 1).flatten(1)[first:] for x in (target, *stuck))
        heavy = weight.square()
        scale = importance[start : start + len(own)]
        parts.append(start + row_order(own, low * heavy, high * heavy, span, scale))
    return torch.cat(parts)
