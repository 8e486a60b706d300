"""Compile all kernels in advance. Otherwise the first run does so."""

from __future__ import annotations

import numpy as np

from ..kernels.lanes import LANES, SCAN
from ..kernels.sparse import EventLists, add_up, count_by_neuron, count_events, list_events, turn_lists
from ..msu import ArrayBank
from ..program.program import Program
from .engine import BACKENDS, Engine


def warm_up(program: Program) -> None:
    """Run every kernel once, to compile and cache it.

    Kernels run with and without watchers, on an array of a simulated chip, and in training.
    """
    tokens = np.zeros((1, 2), np.int64)
    for name in BACKENDS:
        for trace in (False, True):
            Engine(program, name, threads=1)(tokens, trace=trace)
    chip = ArrayBank.of("rram-ye-28nm", "ideal-128").program(np.ones((2, 3), np.int8))
    chip.in_steps(np.zeros((1, 3), np.int8), np.ones(2, np.float32), np.zeros(2, np.float32))
    _train()


def _train() -> None:
    """Run the kernels of training, on one token without events."""
    levels, counts = np.zeros((1, SCAN), np.float32), np.zeros(SCAN, np.int64)
    count_events(levels, levels[0], counts[:1], 0, 1)
    lists = EventLists.room_for(counts[:1])
    list_events(levels, levels[0], lists, 0, 1)
    count_by_neuron(lists, counts)
    by_neuron = EventLists.room_for(counts)
    turn_lists(lists, levels[0], by_neuron, by_neuron.bounds[:-1].copy())
    add_up(np.zeros((1, SCAN + 1, LANES), np.float32), lists, np.zeros((1, LANES), np.float32), 0, 1)
