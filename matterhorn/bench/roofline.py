"""How close a run is to the limits of this machine, and where its time goes.

The sums that it looks up and the bytes that it reads are compared with measured peak rates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

import numpy as np

from ..coding import SILENT
from ..kernels.connections import add_rows, lists_for
from ..kernels.lookup import GROUP
from ..kernels.ticks import STAGES, ticks_now
from ..program import Program
from ..program.parts import Population
from ..program.text import Encoded
from ..runtime import Engine
from ..runtime.backend import Levels, Slots
from ..runtime.blocks import Blocks
from ..runtime.engine import TILE
from ..runtime.forward import run
from ..runtime.sequences import Sequences
from ..topology import Site
from .clock import Row
from .connections import random_array

COPIED = 2**25
"""Bytes that are copied to measure the speed of memory."""

TRIES = 9
"""Number of measurements. The fastest counts for a peak rate, the median for a run."""

CALLS = 60
"""Number of calls whose stages are added up."""

FED = {
    "input": ("query", "key-value", "query-key-value"),
    "context": ("output",),
    "hidden": ("ffn1",),
    "intermediate": ("ffn2",),
}
"""Arrays that each population drives, by name in :attr:`matterhorn.program.parts.Block.arrays`."""


class Counter:
    """A watcher that counts look-ups: one for each group of inputs with a spike, each bit plane and each column."""

    def __init__(self, program: Program):
        self.program, self.count = program, 0

    def batch(self, sequences: Sequences) -> None:
        """See :class:`matterhorn.runtime.Watcher`."""
        self.first = sequences.first

    def spikes(self, site: Site, population: Population, levels: Levels, slots: Slots) -> None:
        """See :class:`matterhorn.runtime.Watcher`."""
        arrays = self.program.blocks[site.block].arrays
        for name in FED.get(site.part, ()):
            if name in arrays:
                own, planes = slots[self.first] if name == "query" else slots, arrays[name].planes
                awake = np.pad(own != SILENT, ((0, 0), (0, -own.shape[1] % GROUP)))
                groups = int(awake.reshape(len(own), -1, GROUP).any(2).sum())
                self.count += groups * len(planes.factors) * len(planes.offset)


def roofline_rows(program: Program, batches: Iterator[Encoded], shape: dict[str, int | str]) -> Iterator[Row]:
    """Measure one thread's time for a batch, and the least time that its look-ups and reading its weights would take.

    Each weight is read once per tile of tokens.
    """
    counter, engine = Counter(program), Engine(program, threads=1)
    engine(**next(batches), watcher=counter)
    taken = [_seconds(partial(engine, **next(batches))) for _ in range(TRIES)]
    took = float(np.median(taken))
    tiles = max(1, int(shape["tokens"]) // TILE)
    read = tiles * sum(array.planes.choices.nbytes for block in program.blocks for array in block.arrays.values())
    look_ups, copied = look_ups_per_second(), bytes_per_second()
    least = max(counter.count / look_ups, read / copied)
    figures = {
        "look-ups": float(counter.count),
        "look-ups per s": look_ups,
        "bytes": float(read),
        "bytes per s": copied,
    }
    extra = figures | {"least s": least, "times the least": took / least}
    yield Row("roofline", "events", shape, median_s=took, calls=TRIES, extra=extra)


def stage_rows(program: Program, batches: Iterator[Encoded], shape: dict[str, int | str]) -> Iterator[Row]:
    """Measure one thread's time for a batch of one tile, and its share by stage of a block (:mod:`.ticks`)."""
    spent, engine = np.zeros(len(STAGES), np.int64), Engine(program, threads=1)
    blocks, ticks = Blocks(program, spent), 0
    taken: list[float] = []
    for number, batch in enumerate(islice(batches, 1 + CALLS)):
        sequences = Sequences.of(batch["attention_mask"])
        tokens, types = batch["input_ids"], batch["token_type_ids"]
        began = ticks_now(spent)
        taken.append(_seconds(partial(run, program, engine.backend, tokens, types, sequences, blocks=blocks)))
        ticks += ticks_now(spent) - began
        if number == 0:  # the first call compiles and fills the caches, and does not count
            spent[:], ticks, taken = 0, 0, []
    extra = {f"{name} %": 100 * float(own) / ticks for name, own in zip(STAGES, spent, strict=True)}
    inside = {"inside kernels %": 100 * float(spent.sum()) / ticks}
    yield Row("stages", "events", shape, median_s=float(np.median(taken)), calls=len(taken), extra=inside | extra)


def bytes_per_second() -> float:
    """Bytes per second that one thread reads while it copies (and writes as many) more than the caches hold."""
    source, target = np.ones(COPIED // 8), np.empty(COPIED // 8)
    return COPIED / _fastest(lambda: np.copyto(target, source))


def look_ups_per_second() -> float:
    """Sums per second that one thread looks up and adds if everything that it reads is in the first-level cache.

    It handles the same 32 groups and 192 columns many times, in one call. The time of the same call without events is
    subtracted.
    """
    events, columns, times = 128, 192, 1024
    planes = random_array(GROUP * 32, columns).planes
    lists, out = lists_for(events, times), np.empty((times, columns), np.int32)
    lists.order[:events], lists.tables[:events], lists.totals[:] = np.arange(events) % 32, 1, 0
    idle = _fastest(lambda: add_rows(planes, 0, 0, True, lists, out, 0, times))
    lists.starts[1::2], lists.starts[2::2] = events, 0  # every other row has the same events, the others none
    whole = _fastest(lambda: add_rows(planes, 0, 0, True, lists, out, 0, times))
    return events * columns * (times // 2) / (whole - idle)


def _fastest(run: Callable[[], object]) -> float:
    run()
    return min(_seconds(run) for _ in range(TRIES))


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
