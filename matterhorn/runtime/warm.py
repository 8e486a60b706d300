"""Doing beforehand what a first run would have to do: compiling kernels."""

from __future__ import annotations

import numpy as np

from ..msu import ArrayBank
from ..program.program import Program
from .engine import BACKENDS, Engine


def warm_up(program: Program) -> None:
    """Run every kernel once, watched and not, and an array of a chip; keep what was compiled."""
    tokens = np.zeros((1, 2), np.int64)
    for name in BACKENDS:
        for trace in (False, True):
            Engine(program, name, threads=1)(tokens, trace=trace)
    chip = ArrayBank.of("rram-ye-28nm", "ideal-128").program(np.ones((2, 3), np.int8))
    chip.in_steps(np.zeros((1, 3), np.int8), np.ones(2, np.float32), np.zeros(2, np.float32))
