"""Explain where and why a spiking network disagrees with its teacher: on which rows, and what each quantizer costs.

The cost of a quantizer is the decrease of the divergence from the teacher when only this quantizer is switched off. The
network is left as it is. Since it was trained with the quantizer and has adapted to it, the cost may be negative. The
cost thus tells where the error is now, not what training without the quantizer would achieve.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..distill.measure import divergence, predict
from ..models import QuantizedForSequenceClassification, convert
from ..models.precision import full_precision
from ..program.decision import decide
from ..tasks import Examples, Task
from ..tasks.evaluate import predict as run_program
from ..tasks.metrics import pearson
from ..tasks.tokens import Tokens
from ..topology import POPULATIONS, STATIC, Site

ASKED_ROWS = 20
"""Number of rows, evenly spaced among those given, on which quantizers are switched off. It is also the number of rows
with the largest errors of scores that are listed.
"""


@dataclass(frozen=True)
class Diagnosis:
    """What differs from the teacher, and why.

    Attributes:
        agreement: share of rows on which both give the same answer; None for scores, which are never exactly equal.
        correlation: Pearson's correlation of scores; None for labels.
        divergence: mean KL divergence of the answers in nats, or mean squared error of scores.
        flipped: rows with different answers: ``row``, ``texts``, ``label``, ``teacher``, ``spiking``.
        furthest: for scores, the rows with the largest difference, largest first.
        by_part: by block and part, the divergence without its quantizer, and the decrease (``cost``).
        relax: the same for all quantizers of one kind, and for narrower dead zones with the resulting shares, sorted by
            cost in descending order.
    """

    agreement: float | None
    correlation: float | None
    divergence: float
    flipped: list[dict[str, Any]]
    furthest: list[dict[str, Any]]
    by_part: list[dict[str, Any]]
    relax: list[dict[str, Any]]


def diagnose(
    student: QuantizedForSequenceClassification,
    task: Task,
    examples: Examples,
    tokens: Tokens,
    answers: tuple[NDArray[np.float32], NDArray[np.float32]],
    progress: Any = iter,
) -> Diagnosis:
    """Compare a student with its teacher.

    Args:
        student: a calibrated network with trainable weights. It is restored to its state afterward.
        tokens: tokens of the ``examples``.
        answers: logits of the teacher and of the program for them, ``[rows, outputs]``.
    """
    taught, own = answers
    apart = np.abs(own - taught).max(1)
    flipped = np.array([], int) if task.is_regression else np.flatnonzero(~same_answer(task, taught, own))
    furthest = np.argsort(-apart, kind="stable")[:ASKED_ROWS] if task.is_regression else np.array([], int)
    spread = np.linspace(0, len(tokens) - 1, min(ASKED_ROWS, len(tokens))).astype(int)
    probe = _Probe(student, task, tokens.subset(spread.tolist()), taught[spread])
    return Diagnosis(
        **likeness(task, taught, own),
        divergence=probe.distance(own, taught),
        flipped=[_row(task, examples, row, taught, own) for row in flipped.tolist()],
        furthest=[_row(task, examples, row, taught, own) for row in furthest.tolist()],
        by_part=probe.by_part(progress),
        relax=sorted([*probe.by_kind(), *probe.by_dead_zone()], key=lambda one: -float(one["cost"])),
    )


def sites(student: QuantizedForSequenceClassification) -> list[Site]:
    """List everything that has a quantizer."""
    parts = [kind.name for kind in POPULATIONS] + [*STATIC, "keys", "values"]
    return [Site(block, part) for block in range(student.config.num_hidden_layers) for part in parts]


def questions(student: QuantizedForSequenceClassification) -> int:
    """Return how often a diagnosis runs a student on its rows: for each quantizer, for each kind of them, etc."""
    return len(sites(student)) + int(student.config.dead_zone) + 6


def same_answer(task: Task, a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    """Return on which rows two sets of logits ``[rows, outputs]`` give the same label, or all the same labels."""
    same = decide(task.problem_type, a) == decide(task.problem_type, b)
    return np.asarray(same.reshape(len(a), -1).all(1))


def likeness(task: Task, a: NDArray[Any], b: NDArray[Any]) -> dict[str, Any]:
    """Return the agreement of labels and the correlation of scores of two sets of logits; the one that does not apply
    is None.
    """
    if task.is_regression:
        return {"agreement": None, "correlation": pearson(a, b)}
    return {"agreement": float(same_answer(task, a, b).mean()), "correlation": None}


@dataclass(frozen=True)
class _Probe:
    """Compares a student with its teacher on the same rows, each time with a change.

    Attributes:
        taught: the teacher's logits, ``[rows, outputs]``.
    """

    student: QuantizedForSequenceClassification
    task: Task
    tokens: Tokens
    taught: NDArray[np.float32]

    def distance(self, own: NDArray[Any], taught: NDArray[Any]) -> float:
        """Divergence of two sets of logits."""
        return divergence(Tensor(own), Tensor(taught), self.task.kind)

    def ask(self) -> dict[str, Any]:
        """Return likeness and divergence of the student as it is now."""
        own = predict(self.student, self.tokens).numpy()
        return likeness(self.task, self.taught, own) | {"divergence": self.distance(own, self.taught)}

    def without(self, sites: Iterable[Site], usual: float) -> dict[str, Any]:
        """Return likeness and divergence with the quantizers of some sites off, and their cost.

        ``usual``: divergence with all quantizers on.
        """
        with full_precision(self.student, list(sites)):
            found = self.ask()
        return found | {"cost": usual - found["divergence"]}

    def by_part(self, progress: Any) -> list[dict[str, Any]]:
        """Switch off each quantizer on its own."""
        usual = self.ask()["divergence"]
        return [{"block": s.block, "part": s.part, **self.without([s], usual)} for s in progress(sites(self.student))]

    def by_kind(self) -> list[dict[str, Any]]:
        """Switch off all quantizers of each kind."""
        usual, config = self.ask()["divergence"], self.student.config
        kinds: dict[str, Sequence[Site]] = {
            f"weights: {config.weights}": list(self.student.connections()),
            f"activation levels: {config.activation_bits} bits": list(self.student.populations()),
            f"keys and values: {config.kv_bits} bits": list(self.student.stores()),
        }
        return [{"what": f"{name} → real", **self.without(sites, usual)} for name, sites in kinds.items()]

    def by_dead_zone(self) -> list[dict[str, Any]]:
        """Narrow the dead zone step by step."""
        usual, k = self.ask()["divergence"], self.student.config.dead_zone
        values = {site: population.silent_value.clone() for site, population in self.student.populations().items()}
        found: list[dict[str, Any]] = []
        try:
            for narrower in reversed(range(k)):
                self.student.set_dead_zone(narrower)
                asked = self.ask()
                trace = run_program(convert(self.student), self.tokens).trace
                shares = {"silent_share": trace.silent_share, "quiet_share": trace.quiet_share}
                what = f"dead zone: k = {k} → {narrower}"
                found.append({"what": what, **asked, "cost": usual - asked["divergence"], **shares})
        finally:
            self.student.set_dead_zone(k)
            for site, population in self.student.populations().items():
                population.silent_value.copy_(values[site])
        return found


def _row(
    task: Task, examples: Examples, row: int, taught: NDArray[np.float32], own: NDArray[np.float32]
) -> dict[str, Any]:
    """Return a row with its label and both answers, as plain values."""

    def decision(logits: NDArray[np.float32]) -> Any:
        answer = decide(task.problem_type, logits[row : row + 1])[0]
        if task.kind == "single_label":
            return task.labels[int(answer)]
        if task.is_regression:
            return [round(float(score), 3) for score in answer]
        return [label for label, holds in zip(task.labels, answer, strict=True) if holds]

    return {
        "row": row,
        "texts": list(examples.texts[row]),
        "label": _written(task, examples.labels[row]) if examples.labels else None,
        "teacher": decision(taught),
        "spiking": decision(own),
    }


def _written(task: Task, label: Any) -> Any:
    """Format a label of the rows for people."""
    if task.kind == "single_label":
        return task.labels[int(label)]
    if task.is_regression:
        return label
    return [name for name, holds in zip(task.labels, label, strict=True) if holds]
