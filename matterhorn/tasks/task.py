"""Tasks as data: columns, labels, metrics. GLUE's tasks are shipped (``tasks.yaml``); users write small YAML files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ..errors import InputError
from ..reading import Strict, read_yaml, validated, whole
from .tables import Source

Kind = Literal["single_label", "multi_label", "regression"]

METRICS: dict[Kind, list[str]] = {
    "single_label": ["accuracy", "macro_f1", "f1", "matthews"],
    "multi_label": ["micro_f1", "exact_match"],
    "regression": ["pearson", "spearman"],
}
"""Possible metrics of each kind of task. A task that names none uses the first two."""

SCORE = "score"
"""Name of the only output of a regression."""

Columns = Annotated[list[str], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)]


class Task(Strict):
    """Definition of a task: columns, labels and metrics. The first metric is the one that models are selected by.

    Attributes:
        name: name of the task.
        text: column of the text, or the two columns of a pair.
        label: column of the label, or one column per output.
        kind: "single_label", "multi_label" or "regression".
        labels: names of the outputs, in the model's order.
        aliases: other spellings of a label.
        positive: the label that ``f1`` counts as positive. None: the last one.
        range: lowest and highest score.
        flags: whether a multi-label cell is a list of 0 and 1, one per label, rather than a list of the labels that
            hold.
        separator: separator between the labels of a multi-label cell that is a string.
        metrics: metrics to compute; the possible ones are in :data:`METRICS`.
        files: file of each split.
        hub, hub_splits, hub_text: data set, splits and text columns on the hub, for GLUE.
        header: column names, for files without a header.
        quotes: "csv": as spreadsheets quote. "plain": a quote is an ordinary character. "doubled": only quotes around a
            whole cell count, and quotes inside it are doubled.
        fragments: whether training rows are fragments of common sentences.
    """

    name: str
    text: Columns = Field(min_length=1, max_length=2)
    label: Columns = Field(min_length=1)
    kind: Kind = "single_label"
    labels: list[str] = Field(min_length=1)
    aliases: dict[str, list[str]] = Field({})
    positive: str | None = None
    range: tuple[float, float] | None = None
    flags: bool = False
    separator: str = ","
    metrics: list[str] = Field(min_length=1)
    files: dict[str, str] = Field({})
    hub: str | None = None
    hub_splits: dict[str, str] = Field({})
    hub_text: list[str] | None = None
    header: list[str] | None = None
    quotes: Literal["csv", "plain", "doubled"] = "csv"
    fragments: bool = False

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, plain: dict[str, Any]) -> dict[str, Any]:
        kind = plain.get("kind", "single_label")
        known: list[str] = next((names for name, names in METRICS.items() if name == kind), [])
        return {"metrics": known[:2]} | ({"labels": [SCORE]} if kind == "regression" else {}) | plain

    @model_validator(mode="after")
    def _checked(self) -> Task:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels: a duplicate in {self.labels}")
        if len(self.label) not in (1, self.outputs):
            raise ValueError(f"label: {len(self.label)} columns for {self.outputs} labels")
        for name in self.metrics:
            if name not in METRICS[self.kind]:
                raise ValueError(f"metrics: {name!r} is not one of {', '.join(METRICS[self.kind])}")
            if name == "f1" and self.outputs != 2:
                raise ValueError("metrics: f1 needs two labels; take macro_f1")
        for field, names in (("aliases", list(self.aliases)), ("positive", [self.positive] if self.positive else [])):
            if unknown := [name for name in names if name not in self.labels]:
                raise ValueError(f"{field}: {unknown[0]!r} is not one of {', '.join(self.labels)}")
        owners: dict[str, str] = {label: label for label in self.labels if label not in self.aliases}
        for label, aliases in self.aliases.items():
            for alias in aliases:
                if owners.setdefault(alias, label) != label:
                    raise ValueError(f"aliases: {alias!r} is both {owners[alias]} and {label}")
        return self

    @property
    def is_regression(self) -> bool:
        """Whether outputs are scores."""
        return self.kind == "regression"

    @property
    def outputs(self) -> int:
        """Number of logits."""
        return len(self.labels)

    @property
    def problem_type(self) -> str:
        """The kind as Hugging Face names it."""
        return self.kind if self.is_regression else f"{self.kind}_classification"

    @property
    def classes(self) -> list[str]:
        """Labels as they are written in files: the first alias of each, or its name."""
        return [self.aliases.get(label, [label])[0] for label in self.labels]

    def spellings(self) -> dict[str, int]:
        """Map each spelling of a label to the number of its output.

        Spellings in lower case are included where they belong to only one label. An alias takes precedence over the
        name of another label: outputs called "1" and "2" may be written 0 and 1.
        """
        exact = {label: i for i, label in enumerate(self.labels)}
        exact |= {alias: i for i, label in enumerate(self.labels) for alias in self.aliases.get(label, [])}
        folded: dict[str, set[int]] = {}
        for alias, i in exact.items():
            folded.setdefault(alias.casefold(), set()).add(i)
        return {alias: min(own) for alias, own in folded.items() if len(own) == 1} | exact

    def with_columns(self, text: str | Sequence[str] | None, label: str | Sequence[str] | None) -> Task:
        """Return the task with other columns, if any are given."""
        named = {name: own for name, own in (("text", text), ("label", label)) if own}
        return validated(Task, self.model_dump() | named, None) if named else self

    @property
    def numbered(self) -> list[str] | None:
        """Labels in the order of their numbers, if each of them is written as a number from 0; else None."""
        order = [self.spellings().get(str(i)) for i in range(self.outputs)]
        return [self.labels[i] for i in order if i is not None] if {*order} == {*range(self.outputs)} else None

    def for_labels(self, labels: Sequence[str]) -> Task:
        """Return the task for a model with these outputs, in their order and with their names.

        Outputs are matched by name, ignoring case if no name matches exactly. Outputs with only numbers for names
        (``LABEL_0`` …) are matched by number if the task's labels or aliases are numbers from 0. Otherwise they are
        assumed to be in the task's order, as is a single score.

        Raises:
            InputError: the model has another number of outputs, or outputs with other names.
        """
        if len(labels) != self.outputs:
            problem = f"the model has {len(labels)} outputs, {self.name} needs {self.outputs}"
            raise InputError(problem, field="labels", cure="give a model of this task")
        if self.is_regression and self.outputs == 1:
            return self
        if unnamed(labels):
            numbered = self.numbered
            if numbered is None or numbered == self.labels:
                return self
            labels = numbered
        spelled = self.spellings()
        order = [number_of(spelled | {label: i for i, label in enumerate(self.labels)}, label) for label in labels]
        if None in order or len(set(order)) < len(order):
            problem = f"the model's outputs are {', '.join(labels)}, the labels of {self.name} {', '.join(self.labels)}"
            raise InputError(problem, field="labels", cure="name them alike, or give the task aliases for them")
        own = [self.labels[i] for i in order if i is not None]
        names = dict(zip(own, labels, strict=True))
        written = {o: [o] if spelled.get(o) == i else [] for i, o in enumerate(self.labels)}
        aliases = {names[o]: list(dict.fromkeys([*self.aliases.get(o, []), *written[o]])) for o in own}
        changes = {
            "labels": list(labels),
            "aliases": {label: others for label, others in aliases.items() if others != [label]},
            "label": [self.label[i] for i in order if i is not None] if len(self.label) > 1 else self.label,
            "positive": names[self.positive or self.labels[-1]],
        }
        return Task.model_validate(self.model_dump() | changes)

    @classmethod
    def from_yaml(cls, path: str | Path, labels: Sequence[str] | None = None, source: Source | None = None) -> Task:
        """Read a user's own task.

        The file has ``text``, ``label`` and other fields. ``kind`` and ``labels`` can be left out if they can be
        inferred from rows. Relative paths in ``files`` are relative to the file.

        Args:
            path: the YAML file.
            labels: names of a model's outputs, as in :func:`~matterhorn.tasks.describe`.
            source: rows to infer kind and labels from. None: those of the first of ``files``.

        Raises:
            InputError: the file is not valid, or its labels do not fit the model's: the model's outputs may have only
                numbers for names, and the file may not say which label each number means. The message names the file
                and the field.
        """
        from .describe import describe

        path = Path(path)
        plain = read_yaml(path, "write e.g. text: review, label: verdict")
        if not isinstance(plain.get("files", {}), dict):
            raise InputError("not a mapping", file=path, field="files", cure="write e.g. dev: rows.csv below it")
        beside = {split: path.parent / str(file) for split, file in plain.get("files", {}).items()}
        files = {
            split: str(own if own.exists() or own.suffix else plain["files"][split]) for split, own in beside.items()
        }
        plain |= {"name": own_task_name(plain.get("name", path.stem)), "files": files}
        own, cure = plain.get("label", []), "see docs/your-data.md"
        inferred = "labels" not in plain and plain.get("kind") != "regression"
        stand_in = {"labels": own if isinstance(own, list) and len(own) > 1 else ["0", "1"]} if inferred else {}
        later = ("aliases", "positive", "metrics") if inferred else ()  # they refer to labels that are not known yet
        task = validated(
            cls, {name: value for name, value in plain.items() if name not in later} | stand_in, path, cure
        )
        if not inferred:
            try:
                fitted = task if labels is None else task.for_labels(labels)
            except InputError as error:
                raise InputError(str(error), file=path) from error
            has_order = task.is_regression or task.flags or len(task.label) > 1
            if labels is not None and unnamed(labels) and not has_order and task.numbered is None:
                cure = f"name the model's outputs (docs/your-data.md), or give aliases: {{{task.labels[0]}: ['0'], …}}"
                problem = f"the model's outputs are only numbered, {labels[0]} …"
                raise InputError(problem, file=path, field="labels", cure=cure)
            return fitted
        rows = source if source is not None else next(iter(files.values()), None)
        if rows is None:
            raise InputError("missing", file=path, field="labels", cure="list them, or give files to take them from")
        with whole(path, cure):
            return describe(rows, labels=labels, **plain)


def own_task_name(name: Any) -> Any:
    """Return the name of a user's own task. It never equals that of a shipped task, as results are told apart by it."""
    return f"own {name}" if isinstance(name, str) and name in tasks() else name


def unnamed(labels: Sequence[str]) -> bool:
    """Whether a model's outputs have only numbers for names, which is Hugging Face's default."""
    return all(re.fullmatch(r"LABEL_\d+", label) for label in labels)


def number_of(spellings: dict[str, int], label: str) -> int | None:
    """Return the number of a label, given its spelling; ignoring case if no spelling matches exactly. None: unknown."""
    return spellings[label] if label in spellings else spellings.get(label.casefold())


def texts_of_rows(task: str | None, texts: int | None) -> int | None:
    """Return the number of texts per row of a program, 1 or 2: ``texts``, else that of its ``task``. None: unknown."""
    return texts or (len(tasks()[task].text) if task in tasks() else None)


def check_texts(count: int, task: str | None, texts: int | None, path: Path | None) -> None:
    """Check that a program takes rows of ``count`` texts. Its own number is ``texts``, else that of its ``task``.

    Raises:
        InputError: it takes another number.
    """
    wanted = texts_of_rows(task, texts) or count
    if wanted != count:
        problem = f"{('one text', 'two texts')[count - 1]} per row, the model takes {('one', 'two')[wanted - 1]}"
        cure = "give one column, or texts without a tab" if wanted == 1 else "give two columns, or a tab between"
        raise InputError(problem, file=path, field="text", cure=cure)


@cache
def tasks() -> dict[str, Task]:
    """Return the shipped tasks by name."""
    plain = read_yaml(Path(__file__).with_name("tasks.yaml"))
    return {name: Task(name=name, **fields) for name, fields in plain.items()}


def get_task(name: str) -> Task:
    """Return a shipped task by its name, in any of the usual spellings (``SST-2``, ``sst2``).

    Raises:
        InputError: there is no such task.
    """
    key = name.lower().replace("-", "").replace("_", "")
    if key not in tasks():
        cure = f"choose one of {', '.join(tasks())}, or give a YAML"
        raise InputError(f"unknown task {name!r}", field="task", cure=cure)
    return tasks()[key]
