"""Fair timing: contestants take turns, so that a machine that slows down slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

Input = TypeVar("Input")
Run = Callable[[], object]

Contestant = Callable[[Input], Run]
"""Takes an input in a form of its own; what it gives back is timed."""

LEAST = 3
"""Rounds that are measured, however long they take."""


def interleave(
    contestants: Mapping[str, Contestant[Input]],
    inputs: Iterable[Input],
    *,
    seconds: float,
    most: int = 25,
    pause: float = 0.0,
) -> dict[str, list[float]]:
    """Seconds of each call of contestants that run in turn, forwards and backwards, after a round that warms up.

    Args:
        inputs: one for each call; where all differ, nobody profits from having seen its own.
        seconds: to spend, about; at least :data:`LEAST` rounds, no more than ``most``.
        pause: seconds before each call, in which another's idle threads come to rest.
    """
    given, taken = iter(inputs), {name: list[float]() for name in contestants}
    deadline = float("inf")
    for turn in range(-1, most):
        if turn == 0:
            deadline = time.perf_counter() + seconds
        if turn >= LEAST and time.perf_counter() > deadline:
            break
        for name in list(contestants)[:: 1 if turn % 2 == 0 else -1]:
            run = contestants[name](next(given))
            time.sleep(pause)
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    return {name: times[1:] for name, times in taken.items()}
