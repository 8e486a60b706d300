"""Between queries, keys and values: heads, and attention probabilities from integer scores."""

from __future__ import annotations

from torch import Tensor

from .digital import exp_table, normalize, softmax_weights


def split_heads(x: Tensor, heads: int) -> Tensor:
    """``[batch, L, width] → [batch, heads, L, width / heads]``."""
    split: Tensor = x.unflatten(-1, (heads, -1))  # type: ignore[no-untyped-call]
    return split.transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """``[batch, heads, L, size] → [batch, L, heads · size]``."""
    return x.transpose(1, 2).flatten(2)


def exact_shares(scores: Tensor, keys: Tensor, scale: Tensor, unit: int, *, shift: bool) -> Tensor:
    """Attention probabilities from the table that every backend uses.

    Args:
        scores: Q·Kᵀ in levels, ``[..., L, L]``. keys: which keys exist, bool, broadcastable.
        scale: real score of one level, a scalar. unit: steps of κ per level of the queries.
        shift: divisions are shifts.
    """
    table = exp_table(float(scale.detach()) / unit, shift=shift).to(scores.device)
    return normalize(softmax_weights((scores * unit).round(), keys, table), shift=shift)


def trained_shares(scores: Tensor, keys: Tensor, scale: Tensor) -> Tensor:
    """The same as an ordinary softmax with a gradient; ``scores`` in levels."""
    return (scores * scale.detach()).masked_fill(~keys, -1e4).softmax(-1)
