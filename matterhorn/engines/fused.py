"""Attention in one kernel, for the engines that have one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

import numpy as np
import torch

from .attention import Attention, Mixture
from .kernels.connection import NARROW
from .prepare import kernel_population

LONGEST = 1024
"""Keys whose softmax numerators, up to 2¹⁴ each, add up exactly in the float32 of the definition."""


def fits(given: Attention) -> bool:
    """Whether the kernels take this; says once if not."""
    if given.ragged.longest > LONGEST:
        say_once(f"sequences of more than {LONGEST} tokens: attention runs step by step")
        return False
    if not given.ragged.whole:
        say_once("sequences that begin with padding: attention runs step by step")
        return False
    queries = kernel_population(given.block.queries, given.queries.shape[1]).code
    reach = max(queries.reach, kernel_population(given.block.probabilities, 1).code.reach)
    if reach > NARROW:
        say_once(f"|κ| up to {reach}: attention runs step by step")
        return False
    return True


def fused_attention(kernel: Callable[..., bool], given: Attention) -> Mixture:
    """Run an attention kernel (see :mod:`.kernels.attention` for its arguments)."""
    block, ragged, width = given.block, given.ragged, given.queries.shape[1]
    queries = kernel_population(block.queries, width)
    shares = kernel_population(block.probabilities, 1)
    levels = np.empty(given.heads * ragged.squares, np.uint8)
    potentials = np.empty((len(given.queries), width), np.int32)
    own = shares.code
    sound = kernel(
        given.queries.numpy(),
        given.keys.numpy(),
        given.values.numpy(),
        ragged.starts,
        given.heads,
        (queries.code.read, queries.code.unit, queries.code.top),
        (int(own.silent[0]), int(own.read[0]), own.unit, own.dead_zone, own.top, int(shares.constant[0])),
        queries.constant,
        (block.table.numpy(), shares.step, given.shift),
        levels,
        potentials,
    )
    if not sound:
        raise ValueError(f"a spike outside its window of {queries.code.top + 1} slots")
    return Mixture(torch.from_numpy(potentials), torch.from_numpy(levels))


@cache
def say_once(text: str) -> None:
    """A warning, the first time."""
    warnings.warn(text, RuntimeWarning, stacklevel=3)
