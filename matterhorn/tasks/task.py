"""The GLUE tasks as data: columns, labels, metrics (``tasks.yaml``)."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Literal

import yaml
from pydantic import Field

from ..errors import InputError
from ..units import Strict


class Task(Strict):
    """One GLUE task. ``classes`` are the labels as the files write them, ``labels`` as people read them."""

    name: str
    folder: str
    hub: str
    files: dict[str, str]
    hub_splits: dict[str, str] = Field({})
    header: list[str] | None = None
    quotes: Literal["plain", "doubled"] = "plain"
    text: list[str]
    hub_text: list[str] | None = None
    label: str
    labels: list[str] = Field([])
    classes: list[str] = Field([])
    range: tuple[float, float] | None = None
    metrics: list[str]
    fragments: bool = False
    """Training rows are pieces of common sentences."""

    @property
    def is_regression(self) -> bool:
        """True for STS-B: one real-valued output."""
        return self.range is not None

    @property
    def outputs(self) -> int:
        """Number of logits."""
        return 1 if self.is_regression else len(self.labels)


@cache
def tasks() -> dict[str, Task]:
    """All tasks by name."""
    text = resources.files(__package__).joinpath("tasks.yaml").read_text(encoding="utf-8")
    return {name: Task(name=name, **fields) for name, fields in yaml.safe_load(text).items()}


def get_task(name: str) -> Task:
    """A task by its name, in any of the usual spellings (``SST-2``, ``sst2``).

    Raises:
        InputError: there is no such task.
    """
    key = name.lower().replace("-", "").replace("_", "")
    if key not in tasks():
        raise InputError(f"unknown task {name!r}", field="task", cure=f"choose one of {', '.join(tasks())}")
    return tasks()[key]
