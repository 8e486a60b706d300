"""Fit few-bit weights that map given inputs to given outputs.

First comes a least-squares fit. Then one column after another is rounded, and the error of each is compensated by those
that are not yet rounded (GPTQ, arXiv 2210.17323).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..nn.linear import round_to

COLUMNS, DAMPING = 128, 0.01
"""As in GPTQ: columns that are rounded before their errors reach the rest, and the share of the mean diagonal that is
added to the diagonal of the moments.
"""

SCALES = torch.logspace(-0.9, 2.2, 50)
"""Scales that are tried for a row, in mean magnitudes of its weights.

Some are very large: if a single weight is 500 times the mean and dominates the row, it must not be clipped.
"""


class Moments(NamedTuple):
    """Moments of inputs x ``[n, in]`` and desired outputs y ``[n, out]``: means, and the centered sums Σ x xᵀ ``[in,
    in]`` and Σ y xᵀ ``[out, in]``.
    """

    x: Tensor
    y: Tensor
    xx: Tensor
    yx: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor, weight: Tensor) -> Moments:
        """Compute the moments. ``weight [n]``: weight of each row."""
        weight = weight / weight.sum()
        mean_x, mean_y = weight @ x, weight @ y
        around = (x - mean_x) * weight[:, None]
        return cls(mean_x, mean_y, around.T @ (x - mean_x), (y - mean_y).T @ around)


def least_squares(moments: Moments, prior: Tensor, stiffness: float) -> Tensor:
    """Fit weights ``[out, in]`` that map x to y.

    This is a ridge regression toward ``prior``, with a strength of ``stiffness`` times the mean variance of an input.
    """
    ridge = stiffness * moments.xx.diagonal().mean().clamp(min=1e-12)
    system = moments.xx + ridge * torch.eye(len(moments.xx))
    solved: Tensor = torch.linalg.solve(system, (moments.yx + ridge * prior).T)
    return solved.T


def round_weights(weight: Tensor, xx: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """Round a weight matrix to integers ``[out, in]`` and scales ``[out]``, given the second moments of its inputs."""
    scale = best_scale(weight, xx.diagonal(), kind)
    integers = _round_columns(weight, xx, scale, kind)
    product = integers @ xx
    scale = ((product * weight).sum(1) / (product * integers).sum(1).clamp(min=1e-12)).clamp(min=1e-8)
    return integers, scale


def best_scale(weight: Tensor, importance: Tensor, kind: str) -> Tensor:
    """Choose, for each row, the one of :data:`SCALES` with the least rounding error, with weighted columns."""
    scales = weight.abs().mean(1, keepdim=True).clamp(min=1e-8) * SCALES
    errors = [
        ((round_to(weight, one, kind) * one[:, None] - weight).square() * importance).sum(1) for one in scales.unbind(1)
    ]
    return scales.gather(1, torch.stack(errors, 1).argmin(1, keepdim=True)).squeeze(1)


def _round_columns(weight: Tensor, xx: Tensor, scale: Tensor, kind: str) -> Tensor:
    """Round one column after another with GPTQ, those with the largest inputs first. Returns integers ``[out, in]``."""
    order = xx.diagonal().argsort(descending=True)
    remaining, integers = weight[:, order].clone(), torch.empty_like(weight)
    system = xx[order][:, order] + DAMPING * xx.diagonal().mean().clamp(min=1e-12) * torch.eye(len(xx))
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(system)), upper=True)
    for begin in range(0, len(xx), COLUMNS):
        part = slice(begin, begin + COLUMNS)
        own, factors = remaining[:, part].clone(), inverse[part, part]
        errors = torch.empty_like(own)
        for j in range(own.shape[1]):
            integer = round_to(own[:, j : j + 1], scale, kind)
            integers[:, begin + j] = integer[:, 0]
            errors[:, j] = (own[:, j] - integer[:, 0] * scale) / factors[j, j]
            own[:, j:] -= errors[:, j : j + 1] * factors[j, j:]
        remaining[:, begin + COLUMNS :] -= errors @ inverse[part, begin + COLUMNS :]
    return integers[:, order.argsort()]
