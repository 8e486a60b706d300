"""Metrics, and their confidence intervals for a given set of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..program.decision import decide
from .tables import Progress
from .task import Task

Numbers = NDArray[Any]

Z = 1.959963984540054
"""Standard normal deviate of a two-sided 95 % interval."""

SHARES = ("accuracy", "accuracy_mismatched", "exact_match")
"""Metrics that are a share of the rows."""

RESAMPLES = 1000
"""Number of bootstrap samples."""


def compute_metrics(task: Task, logits: Numbers, labels: Any) -> dict[str, float]:
    """Compute the metrics of a task, the main one first.

    Args:
        logits: ``[n, outputs]``.
        labels: classes or scores ``[n]``, or ``[n, outputs]`` for several labels or scores.
    """
    return _metrics(task, task.metrics, *_compared(task, logits, labels))


def interval(
    task: Task, logits: Numbers, labels: Any, seed: int = 0, *, progress: Progress = iter
) -> tuple[float, float]:
    """Compute a 95 % interval of the main metric, with regard to the choice of rows.

    It is the :func:`wilson` interval for a share of rows, else the percentiles of a seeded bootstrap over the rows
    (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

    Args:
        task, logits, labels: as in :func:`compute_metrics`.
        seed: seed of the bootstrap.
        progress: wraps the bootstrap's samples, which take long where there are many rows.
    """
    labels, guess = _compared(task, logits, labels)
    main = task.metrics[0]
    if main in SHARES:
        return wilson(_metrics(task, [main], labels, guess)[main], len(labels))
    draw = np.random.default_rng(seed)
    found = []
    for _ in progress(range(RESAMPLES)):
        own = draw.integers(0, len(labels), len(labels))
        found.append(_metrics(task, [main], labels[own], guess[own])[main])
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share of ``n`` rows (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927, 209)."""
    middle, width = share + Z * Z / (2 * n), Z * ((share * (1 - share) + Z * Z / (4 * n)) / n) ** 0.5
    whole = 1 + Z * Z / n
    low, high = (middle - width) / whole, (middle + width) / whole
    return max(0.0, min(low, share)), min(1.0, max(high, share))  # rounding could put the share outside


def _compared(task: Task, logits: Numbers, labels: Any) -> tuple[Numbers, Numbers]:
    """Return labels and guesses with the same shape."""
    labels, guess = np.asarray(labels), decide(task.problem_type, logits)
    return labels, guess[:, 0] if labels.ndim < guess.ndim else guess


def _metrics(task: Task, names: list[str], labels: Numbers, guess: Numbers) -> dict[str, float]:
    positive = task.labels.index(task.positive or task.labels[-1])
    found = {}
    for name in names:
        own = (labels == positive, guess == positive) if name == "f1" else (labels, guess)
        found[name] = METRICS[name](*own)
    return found


def accuracy(labels: Numbers, guess: Numbers) -> float:
    """Share of correct guesses."""
    return float((guess == labels).mean())


def exact_match(labels: Numbers, guess: Numbers) -> float:
    """Share of rows ``[n, labels]`` on which every label is correct."""
    return float((guess == labels).all(-1).mean())


def f1(labels: Numbers, guess: Numbers) -> float:
    """Harmonic mean of precision and recall of class 1; 0 if this class occurs neither in labels nor in guesses.

    For ``[n, labels]``, over all labels together (micro F1).
    """
    found, there = guess == 1, labels == 1
    return float(2 * (found & there).sum() / max(1, found.sum() + there.sum()))


def macro_f1(labels: Numbers, guess: Numbers) -> float:
    """Mean F1 of all classes that occur in labels or guesses."""
    return float(np.mean([f1(labels == one, guess == one) for one in np.union1d(labels, guess)]))


def matthews(labels: Numbers, guess: Numbers) -> float:
    """Matthews correlation of classes (Gorodkin, Comput. Biol. Chem. 28, 2004, 367); 0 if either side is constant."""
    classes = np.union1d(labels, guess)
    there, found = (np.array([(side == one).sum() for one in classes], dtype=float) for side in (labels, guess))
    n, right = len(labels), float((labels == guess).sum())
    sizes = (n * n - found @ found) * (n * n - there @ there)
    return float((right * n - found @ there) / np.sqrt(sizes)) if sizes else 0.0


def pearson(labels: Numbers, guess: Numbers) -> float:
    """Pearson correlation of scores; 0 if either side is constant. Of several scores ``[n, outputs]``, the mean."""
    if labels.ndim > 1:
        return float(np.mean([pearson(*own) for own in zip(labels.T, guess.T, strict=True)]))
    a, b = (x.astype(np.float64) - x.astype(np.float64).mean() for x in (labels, guess))
    sizes = np.linalg.norm(a), np.linalg.norm(b)
    return float(np.clip((a / sizes[0]) @ (b / sizes[1]), -1, 1)) if all(sizes) else 0.0


def spearman(labels: Numbers, guess: Numbers) -> float:
    """Spearman correlation, i.e. of ranks. Of several scores ``[n, outputs]``, the mean."""
    return pearson(ranks(labels), ranks(guess))


def ranks(values: Numbers) -> NDArray[np.float64]:
    """Rank of each value in its column, from 1. Equal values share their mean rank."""
    if values.ndim > 1:
        return np.stack([ranks(column) for column in values.T], axis=-1)
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return np.asarray((last - (sizes - 1) / 2)[group])


METRICS: dict[str, Callable[[Numbers, Numbers], float]] = {
    "accuracy": accuracy,
    "exact_match": exact_match,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "micro_f1": f1,
    "pearson": pearson,
    "spearman": spearman,
}
