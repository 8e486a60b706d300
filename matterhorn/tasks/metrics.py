"""GLUE metrics, from scikit-learn and scipy."""

from __future__ import annotations

import numpy as np

from .tasks import Task


def compute_metrics(task: Task, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Metrics of a task, the main one first. ``logits [n, outputs]``, ``labels [n]``."""
    from scipy.stats import pearsonr, spearmanr
    from sklearn.metrics import f1_score, matthews_corrcoef

    guess = logits[:, 0] if task.is_regression else logits.argmax(-1)
    measures = {
        "accuracy": lambda: (guess == labels).mean(),
        "f1": lambda: f1_score(labels, guess),
        "matthews": lambda: matthews_corrcoef(labels, guess),
        "pearson": lambda: pearsonr(labels, guess).statistic,
        "spearman": lambda: spearmanr(labels, guess).statistic,
    }
    return {name: float(measures[name]()) for name in task.metrics}
