"""Interpretation of logits: the only place that turns them into answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
"""Kinds of problems, under Hugging Face's names."""

PROBLEM_TYPES: tuple[ProblemType, ...] = get_args(ProblemType)

GENERAL = "general"
"""Task name of an encoder that was trained for no task."""


def check_classifier(task: str | None, path: Path | None) -> None:
    """Check that a program has a trained classifier. That of a general encoder was never trained.

    Raises:
        InputError: it does not.
    """
    if task == GENERAL:
        cure = "take its embeddings (Engine.embed), or train a task from it"
        raise InputError("a general encoder, not a classifier", file=path, field="task", cure=cure)


def problem_type_of(outputs: int) -> ProblemType:
    """Return the default kind of problem: one output is a score, several outputs are classes."""
    return "regression" if outputs == 1 else "single_label_classification"


def decide(problem_type: str, logits: NDArray[Any]) -> NDArray[Any]:
    """Turn logits ``[n, outputs]`` into answers.

    Returns:
        Single-label: class numbers ``[n]``. Multi-label: which labels hold, bool ``[n, outputs]``, i.e. those with a
        probability above one half or a logit above 0. Regression: the scores as they are, ``[n, outputs]``.
    """
    if problem_type == "single_label_classification":
        return np.asarray(logits.argmax(-1))
    return logits > 0 if problem_type == "multi_label_classification" else logits


def probabilities(problem_type: str, logits: NDArray[Any]) -> NDArray[Any] | None:
    """Turn logits into probabilities: softmax over classes, or the logistic function of each label. None for a
    regression.
    """
    if problem_type == "regression":
        return None
    if problem_type == "multi_label_classification":
        return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(shares / shares.sum(-1, keepdims=True))
