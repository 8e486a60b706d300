"""From a label column to a task: its kind, its labels, and the model output that each label belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..reading import validated
from .cells import as_flag, as_number, cell, spelling
from .tables import Progress, Source, open_table
from .task import SCORE, Kind, Task, number_of, unnamed


def describe(
    source: Source,
    text: str | Sequence[str] = "text",
    label: str | Sequence[str] = "label",
    *,
    kind: Kind | None = None,
    labels: Sequence[str] | None = None,
    name: str | None = None,
    progress: Progress = iter,
    **fields: Any,
) -> Task:
    """Infer the task of some rows from their labels.

    >>> describe([{"text": "Well kept.", "label": "good"}, {"text": "Cold.", "label": "bad"}]).labels
    ['bad', 'good']

    Args:
        source: rows as a file, a ``datasets`` data set, or mappings. An iterator is consumed.
        text: column of the text, or the two columns of a pair.
        label: column of the labels, or one column per output.
        kind: kind of the task. None: lists, or several columns of 0 and 1, are multi-label; numbers that are not all
            whole are a regression; anything else is single-label, including whole numbers.
        labels: names of a model's outputs, in its order. The labels of the rows are matched with them by name, ignoring
            case if no name matches exactly. Numbers from 0 stand for the outputs' positions. None: the labels are those
            in the rows.
        name: name of the task. None: the file's name without its ending, or a name of the source.
        progress: wraps the rows.
        fields: other fields of :class:`matterhorn.tasks.task.Task`.

    Raises:
        InputError: a column or label is missing, or labels do not match the model. The message names the source, the
            row and the column.
    """
    columns = [label] if isinstance(label, str) else list(label)
    texts = [text] if isinstance(text, str) else list(text)
    table = open_table(source, quotes=fields.get("quotes", "csv"), header=fields.get("header"))
    values: list[list[Any]] = [[] for _ in columns]
    for number, row in progress(table.rows([*texts, *columns])):
        for column, own in zip(columns, values, strict=True):
            value = cell(row[column])
            if value is None and kind != "multi_label":
                cure = "fill it in or drop the row"
                raise InputError("no label", file=table.name, field=f"row {number}, column {column}", cure=cure)
            own.append([] if value is None else value)
    about = {
        "name": name or (Path(source).stem if isinstance(source, (str, Path)) else table.name),
        "text": texts,
        "label": columns,
        "kind": kind or ("regression" if labels is not None and len(labels) == 1 else _kind(values)),
        **fields,
    }
    try:
        return _task(about, values, labels, table.names.get(columns[0]))
    except InputError as error:
        raise InputError(str(error), file=table.name, field=f"column {', '.join(columns)}") from error


def _kind(columns: list[list[Any]]) -> Kind:
    if len(columns) > 1:
        return "multi_label" if all(as_flag(value) is not None for own in columns for value in own) else "regression"
    values = columns[0]
    if any(isinstance(value, list) for value in values):
        return "regression" if _are_scores(_flat(values)) else "multi_label"
    return "regression" if _are_scores(values) else "single_label"


def _are_scores(values: Iterable[Any]) -> bool:
    """Whether all are numbers, and some of them not whole."""
    numbers = [as_number(value) for value in values]
    return None not in numbers and any(not number.is_integer() for number in numbers if number is not None)


def _flat(values: Iterable[Any]) -> list[Any]:
    return [one for value in values for one in (value if isinstance(value, list) else [value])]


def _task(
    about: dict[str, Any], values: list[list[Any]], labels: Sequence[str] | None, names: list[str] | None
) -> Task:
    """Make the task from its fields and the values of its label columns.

    Args:
        about: fields of the task, without labels.
        values: values of each label column.
        labels: names of a model's outputs, in its order; None without a model.
        names: names that the source gives to label numbers (``ClassLabel``), if any.
    """
    columns, kind = about["label"], about["kind"]
    if len(columns) > 1:
        task = validated(Task, about | {"labels": columns}, None)
        return task if labels is None else task.for_labels(labels)
    width = _width(values[0])
    if kind == "regression" or (kind == "multi_label" and names is None and width and _are_flags(values[0])):
        own = labels or ([SCORE] if not width else [f"{columns[0]}_{i}" for i in range(width)])
        if len(own) != (width or 1):
            problem = f"{width} {'flags' if kind == 'multi_label' else 'scores'}" if width else "one score"
            raise InputError(f"{problem} per row, the model has {len(own)} outputs", cure="give a model of this task")
        return validated(Task, about | {"labels": list(own), "flags": kind == "multi_label"}, None)
    found = {spelling(value) for value in (_split(values[0], about) if kind == "multi_label" else values[0])}
    own = names or sorted(found, key=lambda name: (as_number(name) is None, as_number(name) or 0, name))
    if labels is not None:
        own, aliases = _matched(found, labels, names)
        about = about | {"aliases": about.get("aliases", {}) | aliases}
    if len(own) < 2:
        raise InputError(f"only one label: {listed(own)}", cure="give rows of two labels or more")
    return validated(Task, about | {"labels": list(own)}, None)


def _split(values: list[Any], about: dict[str, Any]) -> list[Any]:
    separator = about.get("separator", ",")
    return [one for value in values for one in (value if isinstance(value, list) else labels_of(value, separator))]


def labels_of(text: Any, separator: str) -> list[str]:
    """Return the labels in a multi-label cell that is a text."""
    return [part for part in (part.strip() for part in str(text).split(separator)) if part]


def _width(values: list[Any]) -> int:
    """Length of the lists, if all are lists of one length; else 0."""
    lengths = {len(value) if isinstance(value, list) else 0 for value in values}
    return lengths.pop() if len(lengths) == 1 else 0


def _are_flags(values: list[list[Any]]) -> bool:
    return len(values[0]) > 1 and all(not isinstance(v, str) and as_flag(v) is not None for v in _flat(values))


def _matched(
    found: set[str], labels: Sequence[str], names: list[str] | None
) -> tuple[Sequence[str], dict[str, list[str]]]:
    """Match the labels ``found`` in rows with a model's.

    Returns:
        Labels in the model's order, and their spellings in the rows.
    """
    task = Task.model_validate({"name": "model", "text": "", "label": "", "labels": labels})
    numbers = {name: number_of(task.spellings(), name) for name in found}
    if None not in numbers.values():
        return labels, {labels[i]: [name] for name, i in numbers.items() if i is not None and labels[i] != name}
    if {name.casefold() for name in found} <= {"true", "false"} and len(labels) == 2:
        return labels, {label: [name] for label, name in zip(labels, ("False", "True"), strict=True)}
    if "0" in found and found <= {str(i) for i in range(len(labels))}:
        return labels, {label: [str(i)] for i, label in enumerate(labels)}
    if unnamed(labels) and names is not None and len(names) == len(labels):
        return names, {}
    problem = f"the labels are {listed(sorted(found))}, the model's outputs {listed(labels)}"
    cure = "name them alike, or number them from 0 in the model's order"
    if len(found) > len(labels) and all(as_number(name) is not None for name in found):
        cure = "name the column of the labels; scores (--kind regression) take a model with one output"
    raise InputError(problem, cure=cure)


def listed(names: Sequence[str], most: int = 10) -> str:
    """List the first names, and say how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
