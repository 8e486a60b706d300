"""GLUE's metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .task import Task

Numbers = NDArray[Any]


def compute_metrics(task: Task, logits: Numbers, labels: Numbers) -> dict[str, float]:
    """Metrics of a task, the main one first. ``logits [n, outputs]``, ``labels [n]`` (classes or scores)."""
    guess = logits[:, 0] if task.is_regression else logits.argmax(-1)
    return {name: METRICS[name](labels, guess) for name in task.metrics}


def accuracy(labels: Numbers, guess: Numbers) -> float:
    """Share of guesses that are right."""
    return float((guess == labels).mean())


def f1(labels: Numbers, guess: Numbers) -> float:
    """Harmonic mean of precision and recall of class 1; 0 where neither has it."""
    found, there = guess == 1, labels == 1
    return float(2 * (found & there).sum() / max(1, found.sum() + there.sum()))


def matthews(labels: Numbers, guess: Numbers) -> float:
    """Correlation of two classes, 0 where one side says the same of all rows."""
    yes, no = labels == 1, labels != 1
    true_positive, true_negative = float((guess[yes] == 1).sum()), float((guess[no] != 1).sum())
    false_positive, false_negative = no.sum() - true_negative, yes.sum() - true_positive
    sizes = (
        (true_positive + false_positive)
        * (true_positive + false_negative)
        * (true_negative + false_positive)
        * (true_negative + false_negative)
    )
    product = true_positive * true_negative - false_positive * false_negative
    return float(product / np.sqrt(sizes)) if sizes else 0.0


def pearson(labels: Numbers, guess: Numbers) -> float:
    """Linear correlation of scores, 0 where one side is constant."""
    a, b = (x.astype(np.float64) - x.astype(np.float64).mean() for x in (labels, guess))
    sizes = np.linalg.norm(a), np.linalg.norm(b)
    return float(np.clip((a / sizes[0]) @ (b / sizes[1]), -1, 1)) if all(sizes) else 0.0


def spearman(labels: Numbers, guess: Numbers) -> float:
    """Linear correlation of ranks."""
    return pearson(ranks(labels), ranks(guess))


def ranks(values: Numbers) -> NDArray[np.float64]:
    """Rank of each value, from 1; equal ones share the mean of theirs."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return (last - (sizes - 1) / 2)[group]


METRICS: dict[str, Callable[[Numbers, Numbers], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}
