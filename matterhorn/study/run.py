"""Score a program on several chips, for every value of every property in a plan, and find which values suffice."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..msu import ArrayBank, Correction, WireCache
from ..msu.circuit import DRAWN, active
from ..program import Program
from ..program.samples import sample
from ..runtime import Engine
from ..runtime.analog import AnalogBackend, sample_kappa
from ..tasks.metrics import compute_metrics
from ..tasks.task import Task
from ..tasks.tokens import Tokens, sorted_batches
from .journal import Journal
from .points import Plan, Property, Study, set_to

FORMAT = 2
"""Version of the answer. Since version 2, chips are drawn by NumPy."""

POINT = 0.01
"""Loss of a metric that a chip may cause: one percentage point."""

Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Run:
    """A program and the rows on which it is scored.

    Attributes:
        program, tokens, task: the program, the rows and their task.
        sample: κ by array for which capacitors are sized. None: the largest possible ones.
    """

    program: Program
    tokens: Tokens
    task: Task
    sample: Mapping[str, NDArray[np.integer]] | None = None

    @classmethod
    def of(cls, program: Program, tokens: Tokens, task: Task) -> Run:
        """Make a run with capacitors sized for the sentences that come with the package, never for benchmark rows."""
        return cls(program, tokens, task, sizing_sample(program))

    def score(self, engine: Engine | None = None) -> float:
        """Return the task's main metric, with a given engine, or else without a chip."""
        engine = engine or Engine(self.program, "events")
        logits = np.empty((len(self.tokens), len(self.program.labels)), np.float32)
        for rows in sorted_batches(self.tokens, 32):
            logits[rows] = engine(**self.tokens.encoded(rows)).logits
        return compute_metrics(self.task, logits, np.array(self.tokens.labels))[self.task.metrics[0]]

    def on_chip(self, bank: ArrayBank, seconds: float = 0.0, progress: Progress = iter) -> Engine:
        """Return an engine with the program on a chip. The chip's seed also seeds its reads."""
        backend = AnalogBackend(
            self.program, bank, seconds=seconds, sample=self.sample, read_seed=bank.seed, progress=progress
        )
        return Engine(self.program, backend)

    def scores(
        self, bank: ArrayBank, seeds: Iterable[int], seconds: float = 0.0, progress: Progress = iter
    ) -> list[float]:
        """Score the bank's chips with these seeds."""
        return [self.score(self.on_chip(replace(bank, seed=seed), seconds)) for seed in progress(seeds)]


def spread(scores: list[float]) -> float:
    """Standard deviation over chips; 0 for a single one."""
    return statistics.stdev(scores) if len(scores) > 1 else 0.0


def sizing_sample(program: Program) -> dict[str, NDArray[np.int16]]:
    """Return κ by array for the sentences that come with the package."""
    return sample_kappa(program, program.encode(sample()[0]))


def run_plan(
    run: Run,
    plan: Plan,
    chips: int,
    *,
    seed: int = 0,
    cache: WireCache | None = None,
    correction: Correction | None = None,
    journal: Journal | None = None,
    progress: Progress = iter,
) -> dict[str, Any]:
    """Compute the answer of ``matterhorn msu study``: scores, yield and the values that suffice, by property.

    A chip without any active non-ideality scores as the program does without a chip. If no part of a chip is random,
    one chip is scored for all.

    Args:
        chips: number of chips for every value. They have the seeds ``seed``, ``seed + 1`` …
        journal: scores that are already known. New ones are added to it.
        progress: wraps an iterable of chips to show progress.
    """
    clean = run.score()
    scores: dict[tuple[str, float], list[float]] = {}
    for name, study, value, number in progress(list(_jobs(plan, chips))):
        chip = f"{name} {value!r} {seed + number}"
        score = journal.scores.get(chip) if journal else None
        known = scores.setdefault((name, value), [])
        if score is None:
            device, circuit, seconds = set_to(name, value, study, plan)
            parts = active(device, circuit)
            if not parts:
                score = clean
            elif known and not any(part in DRAWN for part in parts):
                score = known[0]
            else:
                bank = ArrayBank(device, circuit, seed + number, cache, correction or Correction())
                score = run.score(run.on_chip(bank, seconds))
            if journal:
                journal.note(chip, score)
        known.append(score)
    return {
        "format": FORMAT,
        "clean": clean,
        "chips": chips,
        "seed": seed,
        "allowed_loss": POINT,
        "device": plan.device,
        "circuit": plan.circuit,
        "studies": {
            name: _summary(study, [scores[name, value] for value in study.values], clean)
            for name, study in plan.studies.items()
        },
    }


def needed(
    values: list[float], losses: list[float], allowed: float, scale: Literal["linear", "log"] = "linear"
) -> dict[str, Any]:
    """Find how far a property may go, where the loss first exceeds ``allowed``, by interpolation between tried values.

    Args:
        values: tried values, starting with the least harmful.
        losses: loss at each value, in the unit of ``allowed``.
        scale: whether to interpolate linearly in the value or in its logarithm.

    Returns:
        ``value``, None if even the first one costs too much, and ``how``: ``interpolated``, ``beyond`` (even the last
        value costs less, so the limit is further away) or ``none``.
    """
    if losses[0] >= allowed:
        return {"value": None, "how": "none"}
    for (value, loss), (further, worse) in pairwise(zip(values, losses, strict=True)):
        if worse >= allowed:
            share = (allowed - loss) / (worse - loss)
            if scale == "linear":
                return {"value": value + share * (further - value), "how": "interpolated"}
            return {"value": math.exp(math.log(value) + share * math.log(further / value)), "how": "interpolated"}
    return {"value": values[-1], "how": "beyond"}


def _jobs(plan: Plan, chips: int) -> Iterator[tuple[Property, Study, float, int]]:
    """Yield property, study, value and number of every chip to score."""
    for name, study in plan.studies.items():
        for value in study.values:
            for number in range(min(chips, study.chips or chips)):
                yield name, study, value, number


def _summary(study: Study, scores: list[list[float]], clean: float) -> dict[str, Any]:
    """Summarize the scores of one property, ``scores[value][chip]``. ``clean``: score without a chip."""
    means = [statistics.mean(own) for own in scores]
    return {
        "title": study.title,
        "unit": study.unit,
        "scale": study.scale,
        "device": study.device,
        "points": [
            {
                "value": value,
                "mean": mean,
                "spread": spread(own),
                "worst": min(own),
                "yield": sum(clean - one <= POINT + 1e-12 for one in own) / len(own),
                "scores": own,
            }
            for value, mean, own in zip(study.values, means, scores, strict=True)
        ],
        "needed": needed(study.values, [clean - mean for mean in means], POINT, study.scale),
    }
