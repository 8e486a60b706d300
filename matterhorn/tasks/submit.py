"""Predict the test rows and write the zip file for the GLUE server (``submit.yaml``)."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..errors import InputError
from ..program import Program
from ..reading import Strict, read_text, read_yaml
from ..storage import MARK, put_file
from .evaluate import predict, task_for
from .rows import Examples, load_examples, read_rows
from .tables import Progress
from .task import Task, get_task
from .tokens import tokens_for


class Sheet(Strict):
    """One file of the submission."""

    task: str
    split: str
    rows: int
    files: list[str] = Field([])
    """Files of its rows, if not those of the task."""
    hub: str | None = None


@cache
def sheets() -> dict[str, Sheet]:
    """Return all files of a submission by name, without ``.tsv``."""
    return {name: Sheet(**fields) for name, fields in read_yaml(Path(__file__).with_name("submit.yaml")).items()}


@dataclass(frozen=True)
class Filled:
    """One file that was written. ``problem``: why its rows are constant, or differ in number from the official ones."""

    name: str
    rows: int
    model: str | None
    problem: str | None = None


def submit(
    models: Mapping[str, Program],
    output: Path,
    glue_dir: Path | None,
    *,
    backend: str = "events",
    max_length: int = 128,
    progress: Callable[[str], Progress] = lambda _: iter,
) -> list[Filled]:
    """Write the zip file to ``output``, completely or not at all.

    The server requires every file. One without a model or without rows has constant predictions; its ``problem`` says
    why.

    Args:
        models: programs by the name of their task.
        progress: returns a progress bar for the named file.

    Raises:
        InputError: the output is not a .zip, a model is of another task, or test rows are not the official ones.
    """
    if output.suffix != ".zip":
        raise InputError("not a .zip", file=output, field="output", cure="name the file submission.zip")
    fitted = {name: task_for(model, get_task(name)) for name, model in models.items()}
    filled, texts = [], {}
    for name, sheet in sheets().items():
        task, program = fitted.get(sheet.task) or get_task(sheet.task), models.get(sheet.task)
        rows = _find_rows(task, sheet, glue_dir)
        problem = None
        if rows is None or program is None:
            why = f"no test rows in {glue_dir}" if rows is None else f"no model for {sheet.task}"
            problem = f"{why}: every row says {_constant(task)}"
            predictions = [_constant(task)] * (sheet.rows if rows is None else len(rows))
        else:
            tokens = tokens_for(program, rows, max_length, task=task)
            logits, _, _ = predict(program, tokens, backend=backend, progress=progress(name))
            predictions = as_predictions(task, logits)
            if len(rows) != sheet.rows:
                problem = f"{len(rows)} rows, the server expects {sheet.rows}"
        lines = [f"{index}\t{prediction}" for index, prediction in enumerate(predictions)]
        texts[f"{name}.tsv"] = "\n".join(["index\tprediction", *lines, ""])
        path = str(program.path) if rows is not None and program is not None else None
        filled.append(Filled(name, len(predictions), path, problem))
    _write_zip(output, texts)
    return filled


def _find_rows(task: Task, sheet: Sheet, glue_dir: Path | None) -> Examples | None:
    if glue_dir is None:
        own = {"hub": sheet.hub, "hub_splits": {sheet.split: "test"}} if sheet.hub else {}
        return load_examples(task.model_copy(update=own), sheet.split)
    names = sheet.files or [task.files[sheet.split]]
    path = next((glue_dir / name for name in names if (glue_dir / name).is_file()), None)
    if path is None:
        return None
    _check_indices(path)
    return read_rows(path, task, labelled=False)


def _check_indices(path: Path) -> None:
    """Check that the row numbers in a file, if any, count from 0 as the server does."""
    header, *lines = read_text(path).split("\n")
    if header.split("\t")[0] not in ("index", "id"):
        return
    rows = (line for line in lines if line.strip())
    for number, line in enumerate(rows):
        index = line.split("\t")[0]
        if index != str(number):
            cure = "give the official test file, in its order"
            raise InputError(f"index {index!r} instead of {number}", file=path, field=f"row {number + 2}", cure=cure)


def as_predictions(task: Task, logits: NDArray[Any]) -> list[str]:
    """Return labels in the server's form: 0 and 1, names, or scores from 0 to 5. ``logits [n, outputs]``."""
    if task.range is not None:
        return [f"{score:.3f}" for score in logits[:, 0].clip(*task.range)]
    return [task.classes[number] for number in logits.argmax(-1)]


def _constant(task: Task) -> str:
    return as_predictions(task, np.zeros((1, task.outputs)))[0]


def _write_zip(output: Path, texts: Mapping[str, str]) -> None:
    def write(fresh: Path) -> None:
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in texts.items():
                archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
            archive.comment = MARK.encode()

    put_file(output, write)
