"""All blocks of a program in compiled code, for the ``events`` backend without watchers.

There is one call per block, or per thread's part of a block.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import Barrier, BrokenBarrierError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.attention import scores_are_short
from ..kernels.block import NO_NUMBER, enter, finish, room_for, run_block
from ..kernels.bound import Bound
from ..kernels.compile import compiled
from ..program.program import Program
from .backend import Stream, not_finite, window_error
from .sequences import Sequences
from .threads import too_many

Sizes = tuple[int, int, int]
"""Number of tokens, of sequences, and of tokens of the longest sequence."""

WORTHWHILE, LEAST = 128, 16
"""Minimum number of tokens of a sequence that is divided among threads, and of each thread's part."""


class Blocks:
    """Runs the blocks of a program. Several threads may call it at once. Each call uses its own buffers, which later
    calls reuse.

    Args:
        spent: int64 array to which the ticks of each of :data:`matterhorn.kernels.ticks.STAGES` are added (one thread
            only). None: they are not measured.
    """

    def __init__(self, program: Program, spent: NDArray[np.int64] | None = None):
        self.program, self.spent = program, spent
        self._rooms: deque[tuple[Sizes, Bound]] = deque()

    def __reduce__(self) -> tuple[Any, ...]:
        return Blocks, (self.program,)

    def __call__(self, x: Stream, sequences: Sequences, threads: int = 1) -> Stream:
        """Run the residual stream ``[tokens, width]`` through all blocks. It is overwritten.

        Returns only the first tokens if the program reads only these.

        Args:
            threads: number of threads for a single sequence of at least :data:`WORTHWHILE` tokens.
        """
        count = len(sequences.lengths)
        if threads > 1 and count == 1 and len(x) >= WORTHWHILE:
            self._shared(x, sequences, threads)
        else:
            sizes, room = self._room((len(x), count, int(sequences.lengths.max())))
            places = (sequences.starts, sequences.ones, sequences.places)
            for call, layout in zip(self._calls, self._layouts, strict=True):
                self._check(call(x, *places, layout, room))
            self._rooms.append((sizes, room))
        return x[:count] if self.program.shape.first_only else x

    def _shared(self, x: Stream, sequences: Sequences, threads: int) -> None:
        """Run one sequence, with a part of the tokens, at least :data:`LEAST`, in each thread.

        Threads wait for each other once per block, until all keys and values are computed. Consecutive blocks have
        separate buffers for them, since a fast thread may write those of the next block while a slow one still reads.

        Raises:
            InputError: so many threads cannot be started.
        """
        threads = max(1, min(threads, len(x) // LEAST))
        ends = np.linspace(0, len(x), threads + 1).astype(int).tolist()
        taken = [self._room((len(x), 1, len(x))) for _ in range(max(2, threads))]
        common = [{name: getattr(room.value, name) for name in ("keys", "values")} for _, room in taken[:2]]
        outputs = {name: getattr(taken[0][1].value, name) for name in ("queries", "context", "first")}
        barrier = Barrier(threads)

        def work(number: int) -> int:
            try:
                return run(number)
            except BaseException:
                barrier.abort()  # or the others would wait forever
                raise

        def run(number: int) -> int:
            first, last, failed = ends[number], ends[number + 1], 0
            places = (sequences.starts, sequences.ones, sequences.places)
            rooms = [Bound(taken[number][1].value._replace(**shared, **outputs)) for shared in common]
            for i, (layout, (begin, end)) in enumerate(zip(self._layouts, self._parts, strict=True)):
                room = rooms[i % 2]
                failed = failed or begin(x, first, last, sequences.starts, layout, room)
                barrier.wait()
                failed = failed or end(x, first, last, np.array([0, last - first]), *places, layout, room)
            return failed

        for failed in _all_of(work, threads, barrier):
            self._check(failed)
        self._rooms.extend(taken)

    def _check(self, failed: int) -> None:
        if failed:
            raise not_finite() if failed == NO_NUMBER else window_error(self.program.blocks[0].populations["input"])

    def _room(self, sizes: Sizes) -> tuple[Sizes, Bound]:
        """Take buffers that are large enough and that no other call uses. Returns the sizes they were made for, too."""
        try:
            kept, room = self._rooms.pop()
        except IndexError:
            return sizes, self._new(sizes)
        return (kept, room) if all(map(int.__ge__, kept, sizes)) else (sizes, self._new(sizes))

    def _new(self, sizes: Sizes) -> Bound:
        shape = self.program.shape
        sides = (shape.width, shape.intermediate, shape.heads)
        return Bound(room_for(*sides, *sizes, short=self._short, spent=self.spent))

    @cached_property
    def _short(self) -> bool:
        """Whether scores are kept in 16 bits."""
        return all(scores_are_short(block.layout.attention, block.layout.keys.bits) for block in self.program.blocks)

    @cached_property
    def _layouts(self) -> list[Bound]:
        return [Bound(block.layout) for block in self.program.blocks]

    @cached_property
    def _calls(self) -> list[Callable[..., int]]:
        """The compiled code of each block."""
        x, none, room = self._examples
        return [compiled(run_block, x, none, none, none, layout, room) for layout in self._layouts]

    @cached_property
    def _parts(self) -> list[tuple[Callable[..., int], Callable[..., int]]]:
        """The compiled code of a part of each block: up to keys and values, and from there on."""
        x, none, room = self._examples
        return [
            (
                compiled(enter, x, 0, 0, none, layout, room),
                compiled(finish, x, 0, 0, none, none, none, none, layout, room),
            )
            for layout in self._layouts
        ]

    @property
    def _examples(self) -> tuple[Any, Any, Bound]:
        """Arguments of the right types, to compile for: a residual stream, positions, buffers."""
        return np.empty((0, self.program.shape.width), np.float32), np.zeros(1, np.int64), self._new((0, 0, 0))


def _all_of(work: Callable[[int], int], threads: int, barrier: Barrier) -> list[int]:
    """Run ``work(0)``, ``work(1)``, …, which wait for each other at a barrier, each in a thread. Returns their results.

    Raises:
        InputError: a thread cannot be started.
    """
    with ThreadPoolExecutor(threads) as pool:
        try:
            parts = [pool.submit(work, number) for number in range(threads)]
        except RuntimeError as error:
            barrier.abort()
            raise too_many(threads, error) from error
    raised = [one for part in parts if (one := part.exception())]
    for one in sorted(raised, key=lambda one: isinstance(one, BrokenBarrierError)):
        raise one  # preferably the error that broke the barrier, not one about the broken barrier
    return [part.result() for part in parts]
