"""Verification that all backends, and the network behind a program, give the same levels, events and logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ..coding import encode
from ..errors import InputError
from ..program.parts import Population
from ..program.program import Program
from ..program.text import Encoded, Text, batches_of, iterated
from ..topology import Site
from .backend import Levels, Slots
from .engine import Engine
from .events import EventsBackend
from .record import SlotRecorder
from .sequences import Sequences

COMPARED = ("stepped", "exact", "events")
"""Backends that are compared by default. Without a reference, the first one is the reference for the others."""
BATCH = 32
"""Texts per batch."""
_ROWS = "give texts, or batches as program.encode(texts) makes them"
"""Remedy for rows that cannot be verified."""
Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True, eq=False)
class Expected:
    """Expected results of a batch.

    Attributes:
        levels: levels before masking by site, ``[batch, L, n]``; of probabilities ``[batch, heads, L, L]``.
        logits: float32 ``[batch, labels]``.
    """

    levels: dict[Site, NDArray[Any]]
    logits: NDArray[np.float32]


class Reference(Protocol):
    """Something to compare with, e.g. a quantized network."""

    def expected(self, batch: Encoded) -> Expected:
        """Return the expected results of a batch."""
        ...


@dataclass
class Verification:
    """Result of :func:`verify`: how much was compared and how much of it differed.

    Attributes:
        backends: names of the backends that were checked.
        against: description of the reference.
        n: number of sequences.
        levels_compared, levels_different: levels of neurons, over all backends.
        events_different: neuron-windows whose spike, or absence of one, differs.
        logits_compared, logits_different: logits, over all backends. Those of ``events`` count twice: while its levels
            are watched, and as it answers otherwise.
        first_difference: batch, backend, place, index and both values of the first difference; None if there is none.
    """

    backends: list[str]
    against: str
    n: int = 0
    levels_compared: int = 0
    levels_different: int = 0
    events_different: int = 0
    logits_compared: int = 0
    logits_different: int = 0
    first_difference: dict[str, Any] | None = None

    @property
    def identical(self) -> bool:
        """Whether at least one sequence was compared and nothing differed."""
        return self.n > 0 and not (self.levels_different or self.events_different or self.logits_different)


def verify(
    program: Program,
    rows: Iterable[Mapping[str, Any]] | Mapping[str, Any] | Sequence[Text],
    *,
    against: Reference | None = None,
    backends: Sequence[str] = COMPARED,
    progress: Progress = iter,
) -> Verification:
    """Compare backends with a reference, bit by bit: all levels, events and logits.

    Args:
        program: program that the backends run.
        rows: texts or pairs of texts; or one or several padded batches, as :meth:`Program.encode` or a Hugging Face
            tokenizer returns them.
        against: reference, e.g. the quantized network that the program was converted from. None: the first backend is
            the reference for the others.
        backends: names of the backends to check: at least one, or two if there is no reference.
        progress: function that wraps the iterable of batches, e.g. ``tqdm.tqdm``, to show progress.

    Returns:
        Counts of what was compared and of what differed. Differences do not raise an error.

    Raises:
        InputError: there is nothing to compare, ``rows`` are neither texts nor batches, or ``against`` provides no
            levels.

    >>> import matterhorn as mh
    >>> mh.verify(mh.load("sst2"), ["A fine film."], backends=["events", "stepped"]).identical
    True
    """
    if against is not None and not callable(getattr(against, "expected", None)):
        problem = f"a {type(against).__name__}, which has no levels to compare"
        raise InputError(problem, field="against", cure="give the quantized network (of matterhorn.quantize)")
    named = list(backends) if against else list(backends[1:])
    if not named:
        raise InputError("nothing to compare", field="backends", cure="give one more backend, or against=")
    first = None if against else Engine(program, backends[0])
    report = Verification(named, "the quantized network" if against else f"the {backends[0]} backend")
    engines = [Engine(program, name) for name in named]
    for number, batch in enumerate(progress(_batches(program, rows))):
        expected = against.expected(batch) if against else None
        recorder = SlotRecorder()
        logits = expected.logits if expected else first(**batch, watcher=recorder).logits  # type: ignore[misc]
        report.n += len(logits)
        for engine in engines:
            comparer = _Comparer(report, engine, expected, recorder.levels, number)
            comparer.logits(engine(**batch, watcher=comparer).logits, logits)
            if isinstance(engine.backend, EventsBackend):  # without a watcher it runs other code
                comparer.logits(engine(**batch).logits, logits)
    if not report.n:
        raise InputError("nothing to compare", field="rows", cure="give at least one text or batch")
    return report


def _batches(program: Program, rows: Any) -> Iterable[Encoded]:
    listed: list[Any] = [rows] if isinstance(rows, (str, Mapping)) else list(iterated(rows, "rows", _ROWS))
    if listed and not isinstance(listed[0], Mapping):
        return program.batches(listed, BATCH)
    return cast(list[Encoded], batches_of(listed))


class _Comparer:
    """A watcher that compares what a backend does with what is expected."""

    def __init__(
        self, report: Verification, engine: Engine, expected: Expected | None, kept: dict[Site, Levels], batch: int
    ):
        self.report, self.engine, self.expected, self.kept, self.number = report, engine, expected, kept, batch

    def batch(self, sequences: Sequences) -> None:
        self.sequences = sequences

    def spikes(self, site: Site, population: Population, levels: Levels, slots: Slots) -> None:
        right = self.kept[site] if self.expected is None else self._flat(site, self.expected.levels[site])
        wrong, wrong_slots = levels != right, slots != encode(right, population.code)
        self.report.levels_compared += right.size
        self.report.levels_different += int(wrong.sum())
        self.report.events_different += int(wrong_slots.sum())
        self.note(str(site), wrong | wrong_slots, levels, right)

    def logits(self, got: NDArray[np.float32], right: NDArray[np.float32]) -> None:
        """Compare a batch's logits."""
        self.report.logits_compared += right.size
        self.report.logits_different += int((got != right).sum())
        self.note("logits", got != right, got, right)

    def _flat(self, site: Site, padded: NDArray[Any]) -> Levels:
        """Select from the levels of a padded batch those that a program computes, in the order of a watcher."""
        own = self.sequences
        cut = self.engine.program.shape.is_cut(site.block)
        if site.part == "probabilities":
            places = [own.places[a:b] for a, b in zip(own.starts[:-1], own.starts[1:], strict=True)]
            rows = [there[:1] if cut else there for there in places]
            parts = [padded[s][:, r[:, None], c].ravel() for s, (r, c) in enumerate(zip(rows, places, strict=True))]
            return np.concatenate(parts).astype(np.uint8)
        flat = own.flat(padded).astype(np.uint8)
        return flat[own.first] if cut and site.part != "input" else flat

    def note(self, where: str, wrong: NDArray[np.bool_], got: NDArray[Any], right: NDArray[Any]) -> None:
        """Keep the first difference."""
        if self.report.first_difference is None and bool(wrong.any()):
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            self.report.first_difference = {
                "batch": self.number,
                "backend": self.engine.backend.name,
                "where": where,
                "index": list(place),
                "expected": float(right[place]),
                "got": float(got[place]),
            }
