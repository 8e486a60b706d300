"""All blocks of a program in compiled code, one call each, for events where nobody looks on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from ..kernels.block import NO_NUMBER, OUTSIDE, Room, room_for, run_block
from ..kernels.compile import compiled
from ..program.program import Program
from .backend import Stream, not_real, window_error
from .sequences import Sequences


class Blocks:
    """Runs the blocks of a program. Several threads may call at once; each writes into a room of its own, which the
    next call uses again."""

    def __init__(self, program: Program):
        self.program = program
        self._rooms: deque[tuple[tuple[int, int, int], Room]] = deque()

    def __reduce__(self) -> tuple[Any, ...]:
        return Blocks, (self.program,)

    def __call__(self, x: Stream, sequences: Sequences) -> Stream:
        """The residual stream ``[tokens, width]``, which is written over, behind all blocks; only of first tokens in a
        program that reads these."""
        sizes = (len(x), len(sequences.lengths), int(sequences.lengths.max()))
        room = self._room(sizes)
        places = (sequences.starts, sequences.ones, sequences.places)
        for call, block in zip(self._calls, self.program.blocks, strict=True):
            failed = call(x, *places, block.layout, room[1])
            if failed == NO_NUMBER:
                raise not_real()
            if failed == OUTSIDE:
                raise window_error(block.populations["input"])
        self._rooms.append(room)
        return x[: sizes[1]] if self.program.shape.first_only else x

    def _room(self, sizes: tuple[int, int, int]) -> tuple[tuple[int, int, int], Room]:
        """A room that is large enough and that no other call uses."""
        try:
            kept = self._rooms.pop()
        except IndexError:
            kept = None
        if kept is not None and all(have >= need for have, need in zip(kept[0], sizes, strict=True)):
            return kept
        shape = self.program.shape
        return sizes, room_for(shape.width, shape.intermediate, shape.heads, *sizes)

    @cached_property
    def _calls(self) -> list[Callable[..., int]]:
        """The compiled code of each block."""
        shape, none = self.program.shape, np.zeros(1, np.int64)
        room, x = (
            room_for(shape.width, shape.intermediate, shape.heads, 0, 0, 0),
            np.empty((0, shape.width), np.float32),
        )
        return [compiled(run_block, x, none, none, none, block.layout, room) for block in self.program.blocks]
