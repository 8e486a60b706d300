"""Attention between two connections: what goes in, what comes out, and the plain way any engine can take."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from ..coding import Code, encode
from ..models.spiking import SpikingBlock
from ..nn.digital import normalise, softmax_weights
from .ragged import Ragged


@dataclass(frozen=True)
class Attention:
    """Slots of the queries (uint8) and stored keys and values (int8), all ``[N, width]``, of ragged sequences."""

    queries: Tensor
    keys: Tensor
    values: Tensor
    ragged: Ragged
    block: SpikingBlock
    heads: int
    shift: bool


@dataclass(frozen=True)
class Mixture:
    """Potentials of the mixed values, int32 ``[N, width]``; levels of the probabilities (uint8, heads · L² of each
    sequence end to end)."""

    potentials: Tensor
    levels: Tensor


class StoredConnections(Protocol):
    """An engine's way with dynamic products."""

    def integrate_stored(self, slots: Tensor, code: Code, operand: Tensor) -> Tensor:
        """See :class:`~matterhorn.engines.Engine`."""
        ...


def attend_plainly(engine: StoredConnections, given: Attention) -> Mixture:
    """Sequence by sequence, step by step, as the definitions have it."""
    potentials, levels = [], []
    starts = given.ragged.starts.tolist()
    exists = torch.from_numpy(given.ragged.exists)
    for begin, end in pairwise(starts):
        queries, keys, values = (_split(x[begin:end], given.heads) for x in (given.queries, given.keys, given.values))
        there = exists[begin:end]
        scores = _scores(engine, given, queries, keys)
        shares = normalise(softmax_weights(scores, there, given.block.table), shift=given.shift)
        population = given.block.probabilities
        own = population.levels(shares)
        levels.append(own.flatten())
        values = values * there[:, None]
        offset = population.constant * values.sum(-2, keepdim=True, dtype=torch.int32)
        mixed = engine.integrate_stored(encode(own, population.code), population.code, values) + offset
        potentials.append(mixed.transpose(0, 1).flatten(1))
    return Mixture(torch.cat(potentials), torch.cat(levels))


def _scores(engine: StoredConnections, given: Attention, queries: Tensor, keys: Tensor) -> Tensor:
    """Q·Kᵀ in kernel steps, int32 ``[heads, L, L]``: events of Q against stored K, and the silent state's share."""
    heads, size = given.heads, keys.shape[-1]
    population = given.block.queries
    constant = population.constant.expand(heads * size).view(heads, 1, size)
    offset = (constant * keys).sum(-1, dtype=torch.int32)
    code = population.code.arranged(heads, 1, size)
    return engine.integrate_stored(queries, code, keys.transpose(-1, -2)) + offset[:, None]


def _split(x: Tensor, heads: int) -> Tensor:
    """``[L, width] → [heads, L, size]``."""
    return x.unflatten(-1, (heads, -1)).transpose(0, 1)
