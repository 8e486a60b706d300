"""Check whether a student can take over the blocks of another network, and which ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import InputError
from ..program import Config


def check_sizes(ours: Config, theirs: Config) -> None:
    """Whether a block of one network fits into another; how many there are may differ.

    Raises:
        InputError: it has other sizes.
    """
    alike = replace(theirs.shape, layers=ours.shape.layers, first_only=ours.shape.first_only)
    if ours.shape != alike:
        problem = f"a network of other sizes ({theirs.shape}, not {ours.shape})"
        raise InputError(problem, field="start", cure="give another start")


def places_of(blocks: Sequence[int] | None, depth: int, count: int, kept: Sequence[int] | None) -> list[int]:
    """Which of a network's blocks a student takes over that is to have ``blocks`` of its teacher's (None: all).

    Args:
        depth: how many the teacher has. count: how many the network has. kept: which of the teacher's they are; None:
            all, or those that the student is to have.

    Raises:
        InputError: the network has too few, or others.
    """
    wanted = list(range(depth) if blocks is None else blocks)
    known = list(kept or (wanted if count == len(wanted) else range(count)))
    problem = None
    if kept is None and count not in (depth, len(wanted)):
        problem = f"a network of other sizes ({count} blocks, not {depth})"
    elif not set(wanted) <= set(known):
        problem = f"a network with blocks {known} of its teacher's, not {wanted}"
    if problem:
        raise InputError(problem, field="start", cure="give another start")
    return [known.index(number) for number in wanted]
