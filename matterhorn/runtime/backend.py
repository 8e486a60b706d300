"""The interface of a backend: connections, attention and firing. Everything else is common to all (:mod:`.forward`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..program.parts import Array, Block, Population
from ..topology import Site
from .sequences import Sequences

Slots = NDArray[np.uint8]
"""Spikes: slot of each neuron, :data:`matterhorn.coding.SILENT` for none."""
Levels = NDArray[np.uint8]
Potentials = NDArray[np.int32]
"""In steps of κ."""
Stream = NDArray[np.float32]
"""The residual stream, ``[tokens, width]``, existing tokens end to end."""


@dataclass(frozen=True, eq=False)
class Attention:
    """What attention works on.

    Attributes:
        queries: slots uint8 ``[Q, width]``. keys, values: int8 ``[N, width]``, as they are stored.
        sequences: where each begins and ends. cut: whether only first tokens ask (one query a sequence).
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
        """Pairs of a query and a key."""
        return len(self.keys) if self.cut else self.sequences.pairs


@dataclass(frozen=True, eq=False)
class Attended:
    """Potentials of the context, int32 ``[Q, width]``; levels of the probabilities, uint8, heads · queries · keys of
    each sequence end to end."""

    potentials: Potentials
    levels: Levels


@runtime_checkable
class Backend(Protocol):
    """A way to run a program. All but ``analog`` give the same bits."""

    name: str
    draws: bool
    """Whether answers hold random numbers, so that the order of calls matters."""

    def integrate(self, slots: Slots, array: Array, source: Population) -> Potentials:
        """Slots ``[rows, in]`` through weights → potentials ``[rows, out or more]``, in steps of κ."""
        ...

    def attend(self, given: Attention) -> Attended:
        """Q·Kᵀ, softmax, P·V."""
        ...

    def fire(self, potentials: Potentials, left: int, population: Population) -> Slots:
        """Potentials, the columns from ``left`` on → slots ``[rows, n]``."""
        ...


class Watcher(Protocol):
    """Looks on while a program runs; must change nothing."""

    def batch(self, sequences: Sequences) -> None:
        """A batch begins."""
        ...

    def spikes(self, site: Site, population: Population, levels: Levels, slots: Slots) -> None:
        """A population has fired: levels before masking, and slots, ``[rows, n]``; rows are existing tokens end to end,
        or the first token of each sequence in a block that is cut to it. Probabilities come flat, heads · queries ·
        keys of each sequence end to end."""
        ...


def window_error(source: Population) -> ValueError:
    """A slot that no neuron can have: a watcher or caller has damaged an array."""
    return ValueError(f"a spike of {source.name} outside its window of {source.code.slots} slots")


def not_real() -> ValueError:
    """A digital step met what no program that was converted has."""
    return ValueError("a digital step met a value that is no number (the program's scales are damaged)")
