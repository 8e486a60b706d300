"""Published GLUE results as data (``glue_rivals.yaml``): in points there, as shares of one in our answers."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from ..units import Strict

RIVAL_TASKS = ("qqp", "mnli", "sst2", "qnli", "rte", "mrpc", "stsb")
"""The seven tasks that spiking language models are compared on."""


class Published(Strict):
    """A row of a published table, points in [0, 100]."""

    name: str
    kind: Literal["teacher", "quantized", "spiking"]
    source: str = Field(min_length=3)
    scores: dict[str, float]
    mean: float
    drop: float | None = None
    unconfirmed: list[str] = Field([])

    @model_validator(mode="after")
    def _check(self) -> Published:
        unknown = {*self.scores} - {*RIVAL_TASKS} | {*self.unconfirmed} - {*RIVAL_TASKS, "mean", "drop"}
        if unknown:
            raise ValueError(f"{self.name}: unknown {', '.join(sorted(unknown))}")
        return self

    def figure(self, name: str) -> dict[str, Any]:
        """``{value, confirmed}`` of a task, ``mean`` or ``drop``; the value as a share of one, null where unknown."""
        points = {"mean": self.mean, "drop": self.drop}.get(name, self.scores.get(name))
        if points is None:
            return {"value": None, "confirmed": False}
        return {"value": round(points / 100, 6), "confirmed": name not in self.unconfirmed}

    def as_json(self) -> dict[str, Any]:
        """The row for machines."""
        scores = {task: self.figure(task) for task in RIVAL_TASKS}
        figures = {"scores": scores, "mean": self.figure("mean"), "drop": self.figure("drop")}
        return {"name": self.name, "kind": self.kind, "source": self.source, **figures}


@cache
def published() -> tuple[Published, ...]:
    """All rows, in the order of the file."""
    text = resources.files(__package__).joinpath("glue_rivals.yaml").read_text(encoding="utf-8")
    return tuple(Published.model_validate(entry) for entry in yaml.safe_load(text))
