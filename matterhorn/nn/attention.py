"""Attention outside the two products: splitting into heads, and softmax of integer scores."""

from __future__ import annotations

import torch
from torch import Tensor

from .digital import exp_table, normalize, softmax_weights


def split_heads(x: Tensor, heads: int) -> Tensor:
    """``[batch, L, width] → [batch, heads, L, width / heads]``."""
    split: Tensor = x.unflatten(-1, (heads, -1))  # type: ignore[no-untyped-call]
    return split.transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """``[batch, heads, L, size] → [batch, L, heads · size]``."""
    return x.transpose(1, 2).flatten(2)


def by_distance(bias: Tensor, scores: Tensor) -> Tensor:
    """Look up the relative position bias of each pair of query and key.

    Args:
        bias: bias at the distances −D … D of a key from its query, ``[heads, 2 · D + 1]``. Larger distances use the
            first or last entry.
        scores: scores ``[..., Q, L]``, of which only the shape is used. Queries are the first Q tokens of a text.

    Returns:
        The bias of each score, ``[heads, Q, L]``.
    """
    largest, (queries, keys) = bias.shape[1] // 2, scores.shape[-2:]
    positions = torch.arange(keys, device=bias.device)
    return bias[:, (positions - positions[:queries, None]).clamp(-largest, largest) + largest]


def exact_softmax(
    scores: Tensor, keys: Tensor, scale: Tensor, unit: int, bias: Tensor | None = None, *, shift: bool
) -> Tensor:
    """Compute attention probabilities from the exponential table that every backend uses.

    Args:
        scores: Q·Kᵀ in levels, ``[..., Q, L]``.
        keys: which keys exist, bool, broadcastable to the scores.
        scale: real score of one level, a scalar.
        unit: steps of κ per level of the queries.
        bias: integers ``[heads, Q, L]`` to add to the scores, in levels. None: no bias.
        shift: whether divisions are replaced by shifts.
    """
    table = exp_table(float(scale.detach()) / unit, shift=shift).to(scores.device)
    steps = (scores * unit).round() if bias is None else (scores * unit).round() + bias * unit
    return normalize(softmax_weights(steps, keys, table), shift=shift)


def float_softmax(scores: Tensor, keys: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute an ordinary softmax in floating point, with a gradient.

    Arguments are those of :func:`exact_softmax`, but ``bias`` is real.
    """
    real = scores * scale.detach() if bias is None else scores * scale.detach() + bias
    return real.masked_fill(~keys, -1e4).softmax(-1)
