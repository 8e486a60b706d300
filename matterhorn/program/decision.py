"""Interpretation of logits. All answers are made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
"""Hugging Face's names."""

PROBLEM_TYPES: tuple[ProblemType, ...] = get_args(ProblemType)

GENERAL = "general"
"""Task of an encoder that was trained for none."""


def check_classifier(task: str | None, path: Path | None) -> None:
    """Whether a program of a task has answers to give: of a general encoder nobody trained the classifier.

    Raises:
        InputError: it has none.
    """
    if task == GENERAL:
        cure = "take its embeddings (Engine.embed), or train a task from it"
        raise InputError("a general encoder, no classifier", file=path, field="task", cure=cure)


def problem_type_of(outputs: int) -> ProblemType:
    """The kind of problem where nothing says it: one output is a score, several are classes."""
    return "regression" if outputs == 1 else "single_label_classification"


def decide(problem_type: str, logits: NDArray[Any]) -> NDArray[Any]:
    """Answers of logits ``[n, outputs]``: numbers of classes ``[n]``; of several labels which hold, bool
    ``[n, outputs]`` (a probability over one half: a logit over 0); scores as they are, ``[n, outputs]``."""
    if problem_type == "single_label_classification":
        return np.asarray(logits.argmax(-1))
    return logits > 0 if problem_type == "multi_label_classification" else logits


def probabilities(problem_type: str, logits: NDArray[Any]) -> NDArray[Any] | None:
    """Of logits softmax of classes, a logistic function of each of several labels; none of a score."""
    if problem_type == "regression":
        return None
    if problem_type == "multi_label_classification":
        return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(shares / shares.sum(-1, keepdims=True))
