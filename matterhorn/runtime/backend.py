"""The interface of a backend: connections, attention and firing. All else is common to backends (:mod:`.forward`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..program.parts import Array, Block, Population
from ..topology import Site
from .sequences import Sequences

Slots = NDArray[np.uint8]
"""Spikes: the slot of each neuron, or :data:`matterhorn.coding.SILENT` for none."""
Levels = NDArray[np.uint8]
"""Levels before masking."""
Potentials = NDArray[np.int32]
"""Potentials, in weight times steps of κ."""
Stream = NDArray[np.float32]
"""The residual stream, ``[tokens, width]``, with existing tokens end to end."""


@dataclass(frozen=True, eq=False)
class Attention:
    """Input of attention.

    Attributes:
        queries: slots uint8 ``[Q, width]``.
        keys, values: int8 ``[N, width]``, as they are stored.
        sequences: where each sequence begins and ends.
        cut: whether there is only one query per sequence, from its first token.
        heads: number of heads.
        block: the block.
    """

    queries: Slots
    keys: NDArray[np.int8]
    values: NDArray[np.int8]
    sequences: Sequences
    cut: bool
    heads: int
    block: Block

    @property
    def rows(self) -> NDArray[np.int64]:
        """Where each sequence begins among the queries, ``[batch + 1]``."""
        return self.sequences.ones if self.cut else self.sequences.starts

    @property
    def pairs(self) -> int:
        """Number of pairs of a query and a key."""
        return len(self.keys) if self.cut else self.sequences.pairs


@dataclass(frozen=True, eq=False)
class Attended:
    """Output of attention.

    ``potentials`` of the context are int32 ``[Q, width]``. ``levels`` of the probabilities are uint8, heads · queries ·
    keys of each sequence, end to end.
    """

    potentials: Potentials
    levels: Levels


@runtime_checkable
class Backend(Protocol):
    """A way to run a program. All except ``analog`` give bit-identical results."""

    name: str
    draws: bool
    """Whether answers contain random numbers, so that the order of calls matters."""

    def integrate(self, slots: Slots, array: Array, source: Population) -> Potentials:
        """Send slots ``[rows, in]`` through weights → potentials ``[rows, out or more]``, in steps of κ."""
        ...

    def attend(self, given: Attention) -> Attended:
        """Compute Q·Kᵀ, softmax and P·V."""
        ...

    def fire(self, potentials: Potentials, left: int, population: Population) -> Slots:
        """Turn potentials, from column ``left`` on, into slots ``[rows, n]``."""
        ...


class Watcher(Protocol):
    """Observes a program while it runs. It must not change anything."""

    def batch(self, sequences: Sequences) -> None:
        """Called when a batch begins."""
        ...

    def spikes(self, site: Site, population: Population, levels: Levels, slots: Slots) -> None:
        """Called when a population has fired, with levels before masking and slots, ``[rows, n]``.

        Rows are existing tokens end to end, or the first token of each sequence in a block that is cut to it.
        Probabilities are flat: heads · queries · keys of each sequence, end to end.
        """
        ...


def window_error(source: Population) -> ValueError:
    """Return the error for a slot outside the window, which means that a watcher or a caller has changed an array."""
    return ValueError(f"a spike of {source.name} outside its window of {source.code.slots} slots")


def not_finite() -> ValueError:
    """Return the error for NaN or infinity in a digital step, which cannot occur in a converted program."""
    return ValueError("NaN or infinity in a digital step (the program's scales are damaged)")
