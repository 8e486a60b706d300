"""Doing beforehand what a first run would have to do: compiling kernels."""

from __future__ import annotations

import numpy as np

from ..program.program import Program
from .engine import BACKENDS, Engine
from .events import PACKED_FROM


def warm_up(program: Program) -> None:
    """Run every kernel once, on a short and on a long sequence, watched and not; keep what was compiled."""
    for length in (2, min(PACKED_FROM, program.config.max_position_embeddings)):
        tokens = np.zeros((1, length), np.int64)
        for name in BACKENDS:
            engine = Engine(program, name, threads=1)
            engine(tokens)
            engine(tokens, trace=True)
    from ..msu import ArrayBank

    chip = ArrayBank.of("rram-ye-28nm", "ideal-128").program(np.ones((2, 3), np.int8))
    chip.in_steps(np.zeros((1, 3), np.int8), np.ones(2, np.float32), np.zeros(2, np.float32))
