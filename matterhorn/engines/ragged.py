"""Sequences of different lengths end to end: no work is done for padding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Ragged:
    """Which tokens of a padded batch run.

    Attributes:
        shape: (batch, L) of the padded batch.
        index: int64 ``[N]``, their places in the flattened batch. First tokens always run: the head reads them.
        starts: int64 ``[batch + 1]``, where each sequence begins among them.
        exists: bool ``[N]``, False for a first token that is padding.
    """

    shape: tuple[int, int]
    index: Tensor
    starts: np.ndarray
    exists: np.ndarray

    @classmethod
    def of(cls, present: Tensor) -> Ragged:
        """From bool ``[batch, L]``, True where a token exists."""
        runs = present.clone()
        runs[:, 0] = True
        starts = np.concatenate([[0], runs.sum(1).cumsum(0).numpy()])
        return cls(tuple(present.shape), runs.flatten().nonzero().flatten(), starts, present[runs].numpy())  # type: ignore[arg-type]

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return int(np.diff(self.starts).max())

    @cached_property
    def squares(self) -> int:
        """Σ L²: pairs of tokens that meet in one head."""
        return int((np.diff(self.starts) ** 2).sum())

    @cached_property
    def whole(self) -> bool:
        """Whether every token that runs exists."""
        return bool(self.exists.all())

    def flat(self, x: Tensor) -> Tensor:
        """``[batch, L, …] → [N, …]``."""
        return x.flatten(0, 1)[self.index]

    def padded(self, x: Tensor, fill: int) -> Tensor:
        """``[N, …] → [batch, L, …]``."""
        batch, longest = self.shape
        whole = torch.full((batch * longest, *x.shape[1:]), fill, dtype=x.dtype)
        whole[self.index] = x
        return whole.unflatten(0, (batch, longest))

    def padded_squares(self, x: Tensor, heads: int, fill: int) -> Tensor:
        """Heads · L² values of each sequence end to end → ``[batch, heads, L, L]``."""
        batch, longest = self.shape
        whole = torch.full((batch, heads, longest, longest), fill, dtype=x.dtype)
        place = 0
        for s in range(batch):
            columns = self.index[self.starts[s] : self.starts[s + 1]] % longest
            n = len(columns)
            whole[s][:, columns[:, None], columns] = x[place : place + heads * n * n].view(heads, n, n)
            place += heads * n * n
        return whole
