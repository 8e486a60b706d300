"""The batches of a phase, and how many steps it has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from accelerate import Accelerator
from torch import Tensor

from ..tasks.tokens import Tokens, even_batches, shuffled_batches
from .measure import on_device
from .recipe import Phase

ENDLESS = 2**31
"""Number of steps of a phase that only the clock ends."""

FASTEST = 4
"""Maximum factor by which scales follow a step of many tokens faster than a step of ``batch_size`` rows."""


def epoch_batches(train: Tokens, phase: Phase, seed: int) -> Iterable[tuple[list[int], int]]:
    """Yield the batches of one epoch: numbers of rows, and the length to which the rows are padded."""
    if phase.tokens:
        return even_batches(train, phase.tokens, seed)
    return ((rows, max(len(train.ids[i]) for i in rows)) for rows in shuffled_batches(train, phase.batch_size, seed))


def steps_of(train: Tokens, phase: Phase, seed: int) -> int:
    """Maximum number of steps of a phase; :data:`ENDLESS` if only the clock ends it."""
    if phase.steps or phase.minutes:
        return phase.steps or ENDLESS
    epoch = len(even_batches(train, phase.tokens, seed)) if phase.tokens else math.ceil(len(train) / phase.batch_size)
    return max(1, round(phase.epochs * epoch))


def usual_rows(train: Tokens, phase: Phase, seed: int) -> float:
    """Number of rows of a step after which scales follow at their usual rate (:class:`~.silence.Silence`).

    It is ``batch_size``. If steps are given in tokens, they may have many more rows. Scales would overshoot if they
    followed tens of thousands of tokens in proportion, so the factor is limited to :data:`FASTEST`. Steps of a few
    thousand tokens are not affected.
    """
    if not phase.tokens:
        return phase.batch_size
    batches = even_batches(train, phase.tokens, seed)
    return max(phase.batch_size, sum(len(rows) for rows, _ in batches) / len(batches) / FASTEST)


def token_batches(
    train: Tokens, phase: Phase, seed: int, done: int, total: int, accelerator: Accelerator
) -> Iterator[dict[str, Tensor]]:
    """Yield this process's rows of the batches from step ``done`` to ``total``.

    All rows of a batch together depend only on seed and epoch, not on the number of processes.
    """
    world, rank, step, epoch = accelerator.num_processes, accelerator.process_index, 0, 0
    while step < total:
        for rows, length in epoch_batches(train, phase, 1000 * seed + epoch):
            if step >= total:
                return
            if step >= done:
                yield on_device(train.batch(rows[rank::world] or rows[:1], length), accelerator.device)
            step += 1
        epoch += 1
