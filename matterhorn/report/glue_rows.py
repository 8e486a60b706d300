"""The GLUE table as rows: means over seeds, drops relative to each network's own teacher, and means over tasks.

Values are between 0 and 1. Published results to compare with are data (``glue_rivals.yaml``), in percentage points.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from ..reading import Strict, read_yaml
from ..tasks.results import Result, Scores, SpikingScores, metric_names
from ..tasks.task import tasks

RIVAL_TASKS = ("qqp", "mnli", "sst2", "qnli", "rte", "mrpc", "stsb")
"""The seven tasks that spiking language models are compared on."""


class Published(Strict):
    """A row of a published table, points in [0, 100]."""

    name: str
    backbone: str
    kind: Literal["teacher", "quantized", "spiking"]
    source: str = Field(min_length=3)
    scores: dict[str, float]
    mean: float | None = None
    drop: float | None = None
    unconfirmed: list[str] = Field([])

    @model_validator(mode="after")
    def _check(self) -> Published:
        unknown = {*self.scores} - {*RIVAL_TASKS} | {*self.unconfirmed} - {*RIVAL_TASKS, "mean", "drop"}
        if unknown:
            raise ValueError(f"{self.name}: unknown {', '.join(sorted(unknown))}")
        return self

    def figure(self, name: str) -> dict[str, Any]:
        """Return ``{value, confirmed}`` of a task, ``mean`` or ``drop``; the value as a share of 1, None if unknown."""
        points = {"mean": self.mean, "drop": self.drop}.get(name, self.scores.get(name))
        if points is None:
            return {"value": None, "confirmed": False}
        return {"value": round(points / 100, 6), "confirmed": name not in self.unconfirmed}

    def as_json(self) -> dict[str, Any]:
        """Return the row for the JSON document."""
        scores = {task: self.figure(task) for task in RIVAL_TASKS}
        figures = {"scores": scores, "mean": self.figure("mean"), "drop": self.figure("drop")}
        about = {"name": self.name, "backbone": self.backbone, "kind": self.kind, "source": self.source}
        return about | figures


@cache
def published() -> tuple[Published, ...]:
    """Return all published rows, in the order of the file."""
    plain = read_yaml(Path(__file__).with_name("glue_rivals.yaml"))["published"]
    return tuple(Published.model_validate(entry) for entry in plain)


FIGURES = ("teacher", "quantized", "spiking", "silent_share", "quiet_share", "drop")
"""Columns of which means and spreads are taken."""

GROUPS = {
    "all present": tuple(tasks()),
    "the rivals' seven": RIVAL_TASKS,
    "small tasks": ("sst2", "mrpc", "rte", "stsb", "cola"),
    "large tasks": ("qnli", "qqp", "mnli"),
}
"""Sets of tasks that means are taken over."""


class Key(NamedTuple):
    """What identifies a row of a task: what runs that differ only in seed have in common, and one of their networks."""

    backbone: str | None
    model: str | None
    price: str | None
    quiet_target: float | None
    blocks: tuple[int, ...] | None = None
    k: int | None = None
    intermediate: int | None = None
    weights: str | None = None

    def order(self) -> tuple[str, str, bool, float, int, int, int, str]:
        """Return a sort key. Networks trained for a price or a quiet share come first, then those with fewer blocks."""
        k, intermediate = (-1 if n is None else n for n in (self.k, self.intermediate))
        quiet = 0.0 if self.quiet_target is None else -self.quiet_target
        blocks = len(self.blocks) if self.blocks else sys.maxsize
        names = self.backbone or "", self.model or ""
        return *names, self.price is None, quiet, blocks, k, intermediate, self.weights or ""


@dataclass(frozen=True)
class Row:
    """Means over seeds, for one task, metric and network.

    Attributes:
        task, metric, backbone: what the row is of.
        model: name of the model, if the backbone is unknown.
        price, quiet_target, blocks: see :class:`~matterhorn.tasks.results.Result`.
        n: number of dev rows.
        k, intermediate, weights: see :class:`~matterhorn.tasks.results.SpikingScores`.
        teacher, quantized, spiking: values of the metric.
        low, high: 95 % interval of the spiking network's main metric, if there is only one seed.
        silent_share, quiet_share, events_per_token: see :class:`~matterhorn.tasks.results.SpikingScores`.
        drop: teacher minus spiking. None unless it is known for all seeds.
        seeds: seeds of the runs.
        spread: sample standard deviation over seeds of each of :data:`FIGURES`, if there are two or more.
        also: rows of the task's other metrics, by metric.
    """

    task: str
    metric: str
    backbone: str | None = None
    model: str | None = None
    price: str | None = None
    quiet_target: float | None = None
    blocks: tuple[int, ...] | None = None
    n: int | None = None
    k: int | None = None
    intermediate: int | None = None
    weights: str | None = None
    teacher: float | None = None
    quantized: float | None = None
    spiking: float | None = None
    low: float | None = None
    high: float | None = None
    silent_share: float | None = None
    quiet_share: float | None = None
    events_per_token: float | None = None
    drop: float | None = None
    seeds: list[int | None] = field(default_factory=list)
    spread: dict[str, float | None] = field(default_factory=dict)
    also: dict[str, Row] = field(default_factory=dict)

    @property
    def is_known(self) -> bool:
        """Whether any of its values is known (0 is a known value)."""
        return not (self.teacher is None and self.quantized is None and self.spiking is None)


@dataclass(frozen=True)
class Mean:
    """Means over a group of tasks, each represented by one network (:func:`standing`). Other tasks are ``missing``."""

    name: str
    backbone: str | None
    tasks: list[str]
    missing: list[str]
    teacher: float
    quantized: float | None
    spiking: float
    silent_share: float | None
    quiet_share: float | None
    drop: float


def rows_of(results: Sequence[Result]) -> list[Row]:
    """Return the rows of all results, in the order of the GLUE tasks, followed by users' own tasks.

    Runs that differ only in their seed share a row. A GLUE task without results has one row without values.
    """
    rows = []
    for task in dict.fromkeys([*tasks(), *(result.title for result in results)]):
        own = [result for result in results if result.title == task]
        keys = {Key(*r.lineage, s.k, s.intermediate, s.weights) for r in own for s in r.spiking}
        keys |= {Key(*r.lineage) for r in own if not r.spiking}
        for key in sorted(keys, key=Key.order):
            alike = [r for r in own if r.lineage == key[:5]]
            runs = [r for r in alike if key.k is None or _spiking(r, key)]
            names = dict.fromkeys([runs[0].metric, *runs[0].metric_names])
            main, *others = (_row(task, name, key, runs) for name in names)
            main.also.update({row.metric: row for row in others if row.is_known})
            rows.append(main)
        if not own:
            rows.append(Row(task, metric_names(task)[0]))
    return rows


@dataclass(frozen=True)
class Line:
    """One network of one run: its main metric and its teacher's, between 0 and 1. Unknown values are None."""

    task: str
    model: str | None
    metric: str
    k: int | None = None
    value: float | None = None
    teacher: float | None = None
    silent_share: float | None = None
    quiet_share: float | None = None

    @property
    def drop(self) -> float | None:
        """Teacher minus value, in percentage points."""
        return None if self.teacher is None or self.value is None else 100 * (self.teacher - self.value)

    def as_json(self) -> dict[str, Any]:
        """Return the line for the JSON document."""
        return {**vars(self), "drop": self.drop}


def lines_of(results: Sequence[Result]) -> list[Line]:
    """Return a line for each network of each run, in the order of :func:`rows_of`. A GLUE task without results has one
    line without a model.
    """
    lines = []
    for task in dict.fromkeys([*tasks(), *(result.title for result in results)]):
        own = [run for run in results if run.title == task]
        for run in own:
            teacher = _metric(run.teacher, run.metric)
            lines += [
                Line(task, run.model, run.metric, s.k, _metric(s, run.metric), teacher, s.silent_share, s.quiet_share)
                for s in run.spiking
            ] or [Line(task, run.model, run.metric, teacher=teacher)]
        if not own:
            lines.append(Line(task, None, metric_names(task)[0]))
    return lines


def _spiking(run: Result, key: Key) -> SpikingScores | None:
    return next((scores for scores in run.spiking if (scores.k, scores.intermediate, scores.weights) == key[5:]), None)


def _row(task: str, metric: str, key: Key, runs: Sequence[Result]) -> Row:
    columns: dict[str, list[float | None]] = {name: [] for name in (*FIGURES, "events_per_token")}
    for run in runs:
        spiking = _spiking(run, key)
        teacher, own = _metric(run.teacher, metric), _metric(spiking, metric)
        columns["teacher"].append(teacher)
        columns["quantized"].append(_metric(run.quantized, metric))
        columns["spiking"].append(own)
        for name in ("silent_share", "quiet_share", "events_per_token"):
            columns[name].append(getattr(spiking, name, None))
        columns["drop"].append(None if teacher is None or own is None else teacher - own)
    known = {name: [value for value in column if value is not None] for name, column in columns.items()}
    means = {name: statistics.fmean(column) if column else None for name, column in known.items()}
    spread = {name: statistics.stdev(column) if len(column) > 1 else None for name, column in known.items()}
    if None in columns["drop"]:  # the mean over some runs would not be the difference of the other means
        means["drop"] = spread["drop"] = None
    seeds = sorted((run.seed for run in runs), key=lambda seed: -1 if seed is None else seed)
    only = _spiking(runs[0], key) if len(runs) == 1 and metric == runs[0].metric else None
    ends = {name: getattr(only, name, None) for name in ("low", "high")}
    about = {"seeds": seeds, "spread": spread} | ends | means
    return Row(task, metric, n=runs[0].n, **key._asdict(), **about)  # type: ignore[arg-type]


def _metric(scores: Scores | None, name: str) -> float | None:
    return scores.metrics.get(name) if scores else None


def standing(rows: Iterable[Row]) -> dict[str | None, dict[str, Row]]:
    """Choose the row that represents each task in means, by backbone and task.

    Rows without a price and with all blocks are preferred, and among them the largest dead zone, then the most
    intermediate neurons, then the smallest drop. Rows without a drop are not chosen.
    """

    def rank(row: Row) -> tuple[bool, bool, int, int, float]:
        k, intermediate = (-1 if n is None else n for n in (row.k, row.intermediate))
        return row.price is None, row.blocks is None, k, intermediate, -(row.drop or 0.0)

    best: dict[str | None, dict[str, Row]] = {}
    for row in sorted((row for row in rows if row.drop is not None), key=rank):
        best.setdefault(row.backbone, {})[row.task] = row
    return best


def means_of(rows: Iterable[Row]) -> list[Mean]:
    """Return the means over each of :data:`GROUPS`, for each backbone."""
    best = standing(rows)
    means = []
    for backbone, chosen in sorted(best.items(), key=lambda pair: pair[0] or ""):
        for name, group in GROUPS.items():
            present = [chosen[task] for task in group if task in chosen]
            missing = [task for task in group if task not in chosen]
            if present:
                figures = {figure: _mean(present, figure) for figure in FIGURES}
                names = [row.task for row in present]
                means.append(Mean(name, backbone, names, missing, **figures))  # type: ignore[arg-type]
    return means


def _mean(rows: Sequence[Row], figure: str) -> float | None:
    values = [getattr(row, figure) for row in rows]
    return None if None in values else statistics.fmean(values)
