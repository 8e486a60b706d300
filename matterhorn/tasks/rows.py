"""Read the rows of a task from any source, and hold out some of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..program.text import check_letters
from .cells import as_flag, as_number, cell, spelling
from .describe import labels_of
from .tables import Progress, Source, file_of, load_set, open_table
from .task import Task, number_of

WHOLE_SENTENCE, PIECE = 15, 3
"""Minimum number of words of a row that counts as a sentence, and as a significant piece of one."""

Label = float | list[float]
"""A class number or a score. For several labels, a 0 or 1 for each; for several outputs, their scores."""


@dataclass(frozen=True)
class Examples:
    """Rows of a task.

    Attributes:
        texts: one or two strings per row.
        labels: class numbers in the order of the task's labels, or scores. With several labels or scores, a list per
            row with one value per output. Rows to predict have no labels.
    """

    texts: list[tuple[str, ...]]
    labels: list[Any]

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, rows: list[int]) -> Examples:
        """Return the rows with these numbers, in this order."""
        return Examples([self.texts[i] for i in rows], [self.labels[i] for i in rows] if self.labels else [])

    def first(self, limit: int | None) -> Examples:
        """Return the first rows. None: all rows."""
        return self if limit is None else Examples(self.texts[:limit], self.labels[:limit])


def load_examples(task: Task, split: str, glue_dir: str | Path | None = None, *, progress: Progress = iter) -> Examples:
    """Load the rows of one split (``train``, ``dev``, …) of a task whose files are known.

    GLUE's rows come from ``glue_dir`` if it is given, else from the hub through ``datasets``. ``progress`` wraps the
    rows that are read from a file.

    Raises:
        InputError: there is no such split, or its rows cannot be read.
    """
    if task.hub is not None and glue_dir is None:
        return _from_hub(task, split)
    labelled = task.hub is None or not split.startswith("test")
    return read_rows(source_of(task, split, glue_dir), task, labelled, progress=progress)


def source_of(task: Task, split: str, glue_dir: str | Path | None = None) -> str | Path:
    """Return the source of one split of a task whose files are known; GLUE's are in ``glue_dir``.

    Raises:
        InputError: there is no such split or file.
    """
    if split not in task.files:
        cure = f"choose one of {list(task.files)}" if task.files else "give --data"
        raise InputError(f"{task.name} has no split {split!r}", field="split", cure=cure)
    source = task.files[split] if task.hub is None or glue_dir is None else Path(glue_dir) / task.files[split]
    return file_of(source) or source


def read_rows(source: Source, task: Task, labelled: bool = True, *, progress: Progress = iter) -> Examples:
    """Read all rows of a source.

    Args:
        source: a file, a ``datasets`` data set, or mappings.
        task: columns and labels of the rows.
        labelled: whether rows have labels. Without labels, texts of GLUE tasks may be empty, as some of QQP's are.
        progress: wraps the rows.

    Raises:
        InputError: a row is not valid. The message names the source, the row and the column.
    """
    rows = list(progress(stream_rows(source, task, labelled)))
    return Examples([texts for texts, _ in rows], [label for _, label in rows] if labelled else [])


def stream_rows(source: Source, task: Task, labelled: bool = True) -> Iterator[tuple[tuple[str, ...], Label | None]]:
    """Read rows one by one. Yields the texts and the label (None if not ``labelled``). See :func:`read_rows`."""
    table = open_table(source, quotes=task.quotes, header=task.header)
    read = label_reader(task)
    for number, row in table.rows([*task.text, *(task.label if labelled else [])]):
        column = ""
        try:
            texts = []
            for column in task.text:
                texts.append(_text(row[column], needed=labelled or task.hub is None))
            check_letters(*texts)
            column = ", ".join(task.label)
            yield tuple(texts), read([cell(row[own]) for own in task.label]) if labelled else None
        except InputError as error:
            raise InputError(str(error), file=table.name, field=f"row {number}, column {column}") from error


def _text(value: Any, *, needed: bool) -> str:
    if isinstance(value, (list, tuple, dict, bytes)):
        raise InputError(f"a {type(value).__name__}", cure="give a text")
    text = "" if value is None or value != value else str(value).strip()
    if needed and not text:
        raise InputError("empty text", cure="fill in the sentence or drop the row")
    return text


def label_reader(task: Task) -> Callable[[list[Any]], Label]:
    """Return a function that makes a label from a row's label cells (:func:`~matterhorn.tasks.cells.cell`)."""
    spellings = task.spellings()

    def number(value: Any) -> int:
        found = number_of(spellings, spelling(value))
        if found is None:
            raise InputError(f"label {spelling(value)!r}", cure=f"use one of {task.classes}")
        return found

    def score(value: Any) -> float:
        found, (low, high) = as_number(value), task.range or (float("-inf"), float("inf"))
        if found is None or not low <= found <= high:
            raise InputError(
                f"score {value!r}", cure=f"use a number in {[low, high]}" if task.range else "use a number"
            )
        return found

    def flag(value: Any) -> float:
        found = as_flag(value)
        if found is None:
            raise InputError(f"flag {value!r}", cure="use 0 or 1")
        return float(found)

    def read(cells: list[Any]) -> Label:
        value = cells if len(task.label) > 1 else cells[0]
        if task.kind == "multi_label" and not task.flags and value is not cells:
            named = value if isinstance(value, list) else labels_of("" if value is None else value, task.separator)
            numbers = {number(one) for one in named}
            return [float(i in numbers) for i in range(task.outputs)]
        if value is None or (isinstance(value, list) and None in value):
            raise InputError("no label", cure="fill it in or drop the row")
        if task.kind == "single_label":
            return number(value)
        if isinstance(value, list) and len(value) != task.outputs:
            raise InputError(f"{len(value)} values", cure=f"give {task.outputs}, of {', '.join(task.labels)}")
        make = score if task.is_regression else flag
        return [make(one) for one in value] if isinstance(value, list) else make(value)

    return read


def _from_hub(task: Task, split: str) -> Examples:
    name = task.hub_splits.get(split, {"dev": "validation"}.get(split, split))
    columns = {"text": task.hub_text or task.text, "label": ["label"]}
    own = task.model_copy(update=columns)
    rows = load_set(f"nyu-mll/glue:{task.hub}:{name}", instead="--glue-dir")
    return read_rows(rows, own, labelled=not split.startswith("test"))


def hold_out(examples: Examples, rows: int, seed: int, *, fragments: bool = False) -> tuple[Examples, Examples]:
    """Split training rows into (train, selection). At most a fifth is held out for selecting models.

    Equal rows are never divided between the two. With ``fragments``, rows are pieces of sentences (SST-2). Then only
    whole sentences are held out. Training rows that are significant pieces of them, or sentences that contain them, are
    dropped, so that selection rows are as unseen as dev rows.

    Raises:
        InputError: rows are fragments, and none of them is a whole sentence.
    """
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)
    rows = min(rows, len(examples) // 5)
    if not fragments:
        chosen = {examples.texts[i] for i in order[:rows]}
        return examples.subset([i for i in order[rows:] if examples.texts[i] not in chosen]), examples.subset(
            order[:rows]
        )
    text = [row[0] for row in examples.texts]
    kept = [i for i in order if len(text[i].split()) >= WHOLE_SENTENCE][:rows]
    if not kept:
        cure = f"give rows of {WHOLE_SENTENCE} words or more"
        raise InputError("no whole sentences to select models by", field="train", cure=cure)
    sentences = [text[i] for i in kept]
    everything = "\n".join(sentences)
    held = set(kept)
    rest = [i for i in order if i not in held and not (len(text[i].split()) >= PIECE and text[i] in everything)]
    long = [i for i in rest if len(text[i].split()) > WHOLE_SENTENCE]
    parents = {i for i in long if any(sentence in text[i] for sentence in sentences)}
    return examples.subset([i for i in rest if i not in parents]), examples.subset(kept)
