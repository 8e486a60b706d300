"""Scores of one program on several chips."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..msu import ArrayBank
from ..program import Program
from ..program.samples import sample
from ..runtime import Engine
from ..runtime.analog import AnalogBackend, sample_kappa
from ..tasks.metrics import compute_metrics
from ..tasks.task import Task
from ..tasks.tokens import Tokens, sorted_batches

Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Run:
    """A program and the rows it is scored on. ``sample``: κ that capacitors are sized for (None: the worst)."""

    program: Program
    tokens: Tokens
    task: Task
    sample: Mapping[str, NDArray[np.integer]] | None = None

    @classmethod
    def of(cls, program: Program, tokens: Tokens, task: Task) -> Run:
        """Capacitors sized for the sentences that come with the package: no row of any benchmark sizes one."""
        return cls(program, tokens, task, sizing_sample(program))

    def score(self, engine: Engine | None = None) -> float:
        """The task's main metric; without any chip if no engine is given."""
        engine = engine or Engine(self.program, "events")
        logits = np.empty((len(self.tokens), len(self.program.labels)), np.float32)
        for rows in sorted_batches(self.tokens, 32):
            logits[rows] = engine(**self.tokens.encoded(rows)).logits
        return compute_metrics(self.task, logits, np.array(self.tokens.labels))[self.task.metrics[0]]

    def on_chip(self, bank: ArrayBank, seconds: float = 0.0, progress: Progress = iter) -> Engine:
        """The program written to a chip; its reads are seeded by the chip's seed."""
        backend = AnalogBackend(
            self.program, bank, seconds=seconds, sample=self.sample, read_seed=bank.seed, progress=progress
        )
        return Engine(self.program, backend)

    def scores(
        self, bank: ArrayBank, seeds: Iterable[int], seconds: float = 0.0, progress: Progress = iter
    ) -> list[float]:
        """Scores of the bank's chips of these seeds."""
        return [self.score(self.on_chip(replace(bank, seed=seed), seconds)) for seed in progress(seeds)]


def spread(scores: list[float]) -> float:
    """Standard deviation over chips; 0 for one."""
    return statistics.stdev(scores) if len(scores) > 1 else 0.0


def sizing_sample(program: Program) -> dict[str, NDArray[np.int16]]:
    """κ by array, of the sentences that come with the package."""
    return sample_kappa(program, program.encode(sample()[0]))
