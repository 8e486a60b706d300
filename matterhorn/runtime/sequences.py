"""Sequences of different lengths, stored end to end, so that no work is done for padding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


@dataclass(frozen=True, eq=False)
class Sequences:
    """Which tokens of a padded batch exist.

    Attributes:
        shape: (batch, L) of the padded batch.
        index: int64 ``[N]``, positions of the existing tokens in the flattened batch.
        starts: int64 ``[batch + 1]``, where each sequence begins among the existing tokens.
    """

    shape: tuple[int, int]
    index: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, mask: NDArray[Any]) -> Sequences:
        """Make it from a mask ``[batch, L]``, which is nonzero where a token exists.

        Raises:
            InputError: there is no row, or a row starts with padding or has no token.
        """
        present = np.asarray(mask) != 0
        if present.size == 0:
            raise InputError("no tokens", field="input_ids", cure="give at least one row of at least one token")
        if not bool(present[:, 0].all()):
            cure = "pad behind the text (padding_side = 'right') and leave out empty rows"
            raise InputError("a row begins with padding", field="attention_mask", cure=cure)
        starts = np.zeros(len(present) + 1, np.int64)
        np.cumsum(present.sum(1), out=starts[1:])
        return cls((present.shape[0], present.shape[1]), np.flatnonzero(present), starts)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each sequence, ``[batch]``."""
        return np.diff(self.starts)

    @cached_property
    def pairs(self) -> int:
        """Number of pairs of a token with one of its own sequence."""
        return int((self.lengths**2).sum())

    @property
    def first(self) -> NDArray[np.int64]:
        """Index of the first token of each sequence, ``[batch]``."""
        return self.starts[:-1]

    @cached_property
    def ones(self) -> NDArray[np.int64]:
        """What :attr:`starts` would be if each sequence had one token: 0, 1, …, batch."""
        return np.arange(len(self.starts))

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Position of each existing token in its padded row, ``[N]``."""
        return self.index % self.shape[1]

    def flat(self, x: NDArray[Any]) -> NDArray[Any]:
        """``[batch, L, …] → [N, …]``, contiguous."""
        return x.reshape(-1, *x.shape[2:])[self.index]
