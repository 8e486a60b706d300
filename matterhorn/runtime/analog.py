"""The ``analog`` backend. Every connection with weights runs through the arrays of one simulated chip.

Everything else is as in ``exact``. Q·Kᵀ and P·V are products of spikes with stored bits in digital logic, so they stay
exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..coding import Code, kappa
from ..errors import InputError
from ..msu import ArrayBank, ProgrammedConnection
from ..program import Program
from ..program.parts import Array, Population
from ..program.text import Encoded
from ..topology import Site
from .backend import Potentials, Slots
from .engine import Engine
from .exact import ExactBackend, checked_kappa
from .record import SlotRecorder


class AnalogBackend(ExactBackend):
    """Runs one program on one simulated chip.

    Read-outs are divided by the share of each output that the chip retains (``column_gains``). In hardware, digital
    scales that are calibrated at the time of use would do this. The results are rounded to whole steps of κ.

    Args:
        program: program to write to the chip. The backend runs no other.
        bank: the chip. The same seed gives the same cells, also for arrays that are programmed one by one under the
            names of :func:`static_arrays`.
        seconds: time since programming, in s.
        sample: κ by array (:func:`sample_kappa`) for which capacitors are sized. None: the largest possible potential.
        read_seed: seed of read noise and jitter, which differ in every read.
        progress: wraps the arrays while they are written.

    Attributes:
        program: the program.
        written: its arrays on the chip.
        scales: factors of the outputs of each array, float32 ``[out]``.
    """

    name = "analog"
    draws = True

    def __init__(
        self,
        program: Program,
        bank: ArrayBank,
        *,
        seconds: float = 0.0,
        sample: Mapping[str, NDArray[np.integer]] | None = None,
        read_seed: int = 0,
        progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
    ) -> None:
        if read_seed < 0:
            raise InputError(f"{read_seed}", field="read_seed", cure="give a whole number of 0 or more")
        self.program, self.rng = program, np.random.Generator(np.random.PCG64(read_seed))
        self.written: dict[Array, ProgrammedConnection] = {}
        self.scales: dict[Array, NDArray[np.float32]] = {}
        for array, source in progress(static_arrays(program).values()):
            written = write(bank, array, source.code, None if sample is None else sample[array.name]).at(seconds)
            self.written[array] = written
            self.scales[array] = np.reciprocal(written.column_gains)

    def __getstate__(self) -> dict[str, Any]:
        held = {name: {array.name: one for array, one in getattr(self, name).items()} for name in ("written", "scales")}
        return vars(self) | held

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the keys of the dictionaries: arrays are hashed by identity, and unpickling makes new ones."""
        arrays = {name: array for name, (array, _) in static_arrays(state["program"]).items()}
        held = {name: {arrays[own]: one for own, one in state[name].items()} for name in ("written", "scales")}
        vars(self).update(state | held)

    def integrate(self, slots: Slots, array: Array, source: Population) -> Potentials:
        """See :class:`.backend.Backend`."""
        if array not in self.written:
            raise InputError("an array that is not on this chip", field="program", cure="make a backend for it")
        given, shift = checked_kappa(slots, source), array.offset.astype(np.float32)
        return self.written[array].in_steps(given, self.scales[array], shift, self.rng)


def static_arrays(program: Program) -> dict[str, tuple[Array, Population]]:
    """Return the arrays that a chip holds by name, with the population that drives each."""
    return {
        array.name: (array, block.populations[array.source])
        for block in program.blocks
        for array in block.arrays.values()
    }


def write(bank: ArrayBank, array: Array, code: Code, sample: NDArray[np.integer] | None = None) -> ProgrammedConnection:
    """Write an array to a chip.

    Capacitors are sized, and rows are placed, for the κ ``[tokens, in]`` of a sample, if given.
    """
    importance = None if sample is None else (sample.astype(np.float64) ** 2).mean(0)
    written = bank.program(
        array.weights, name=array.name, kappa_top=code.reach, kappa_unit=code.unit, importance=importance
    )
    return written if sample is None else written.sized_for(sample)


def sample_kappa(program: Program, batch: Encoded) -> dict[str, NDArray[np.int16]]:
    """Return the κ ``[tokens, in]`` that drive each array when a batch runs without a chip."""
    recorder, found = SlotRecorder(), {}
    Engine(program, "events")(**batch, watcher=recorder)
    for index, block in enumerate(program.blocks):
        for part, array in block.arrays.items():
            slots = recorder.slots[Site(index, array.source)]
            if part == "query":  # the block is cut: only first tokens have queries
                slots = slots[recorder.sequences.first]
            found[array.name] = kappa(slots, block.populations[array.source].code)
    return found
