"""Check whether a student can take over the blocks of another network, and which ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import InputError
from ..program import Config


def check_sizes(ours: Config, theirs: Config) -> None:
    """Check that the blocks of one network fit into another. The number of blocks may differ.

    Raises:
        InputError: the sizes differ.
    """
    alike = replace(theirs.shape, layers=ours.shape.layers, first_only=ours.shape.first_only)
    if ours.shape != alike:
        problem = f"a network of other sizes ({theirs.shape}, not {ours.shape})"
        raise InputError(problem, field="start", cure="give another start")


def places_of(blocks: Sequence[int] | None, depth: int, count: int, kept: Sequence[int] | None) -> list[int]:
    """Determine which blocks of a network a student takes over.

    Args:
        blocks: numbers of the teacher's blocks that the student has. None: all.
        depth: number of blocks of the teacher.
        count: number of blocks of the network.
        kept: numbers of the teacher's blocks that the network has. None: all, or those that the student has.

    Raises:
        InputError: the network has too few blocks, or different ones.
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
