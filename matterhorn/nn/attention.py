"""From queries and keys to attention probabilities: splitting into heads, and softmax of integer scores."""

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
    """Look up a bias ``[heads, 2 · far + 1]`` by the distance of a key from the query, −far … far, for scores ``[...,
    Q, L]``.

    Larger distances use the last entry. Queries are the first Q tokens of a text. Returns ``[heads, Q, L]``.
    """
    far, (asking, keys) = bias.shape[1] // 2, scores.shape[-2:]
    places = torch.arange(keys, device=bias.device)
    return bias[:, (places - places[:asking, None]).clamp(-far, far) + far]


def exact_shares(
    scores: Tensor, keys: Tensor, scale: Tensor, unit: int, bias: Tensor | None = None, *, shift: bool
) -> Tensor:
    """Compute attention probabilities from the table that every backend uses.

    Args:
        scores: Q·Kᵀ in levels, ``[..., L, L]``.
        keys: which keys exist, bool, broadcastable.
        scale: real score of one level, a scalar.
        unit: steps of κ per level of the queries.
        bias: integers ``[heads, L, L]`` to add to the scores, in levels. None: nothing.
        shift: whether divisions are replaced by shifts.
    """
    table = exp_table(float(scale.detach()) / unit, shift=shift).to(scores.device)
    steps = (scores * unit).round() if bias is None else (scores * unit).round() + bias * unit
    return normalize(softmax_weights(steps, keys, table), shift=shift)


def plain_shares(scores: Tensor, keys: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute an ordinary softmax with a gradient. ``scores`` are in levels, ``bias`` is real ``[heads, L, L]``."""
    real = scores * scale.detach() if bias is None else scores * scale.detach() + bias
    return real.masked_fill(~keys, -1e4).softmax(-1)
