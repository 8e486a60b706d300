"""Options and functions that commands over rows share: the model, the rows, a progress bar."""

from __future__ import annotations

import inspect
import os
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from ..errors import InputError
from ..extras import need

if TYPE_CHECKING:
    from ..program import Program
    from ..tasks import Examples, Task
    from ..tasks.score import Splits
    from ..tasks.tokens import Tokens

GlueDir = Annotated[
    Path | None,
    typer.Option(help="Folder of GLUE's files (default: $MATTERHORN_GLUE_DIR, else the hub)."),
]

MAX_LENGTH = 128
"""Default number of tokens at which rows are truncated."""

YAML = (".yaml", ".yml")
"""File name endings of a user's own task."""


def glue_folder(given: Path | None) -> Path | None:
    """Return the given folder, or the one in the environment. None: rows come from the hub."""
    named = os.environ.get("MATTERHORN_GLUE_DIR")
    folder = given or (Path(named) if named else None)
    if folder is None:
        need("train", "datasets", instead="give --glue-dir")
        from .hub import notice_offline

        notice_offline()
    elif not folder.is_dir():
        field = "--glue-dir" if given else "$MATTERHORN_GLUE_DIR"
        raise InputError("no such folder", file=folder, field=field, cure="give the folder of GLUE's files")
    return folder


def seek(*sources: str | None, task: str | None = None, glue_dir: Path | None = None) -> None:
    """Check that everything that names rows exists, before any work: files, a task or its YAML file, GLUE's folder.

    If a source can only be on the hub, check that the hub can be reached.

    Raises:
        InputError: something does not exist.
    """
    from ..tasks import get_task
    from ..tasks.tables import file_of

    if glue_dir is not None:
        glue_folder(glue_dir)
    if task is not None and Path(task).suffix not in YAML:
        get_task(task)
    elif task is not None and not Path(task).is_file():
        raise InputError("no such file", file=task, field="--task", cure="give a YAML file that exists")
    for source in sources:
        if source is not None and file_of(source) is None and not Path(source).exists():
            need("train", "datasets", instead="give a file")
            from .hub import notice_offline

            notice_offline()


@dataclass(frozen=True)
class Rows:
    """The rows that a command runs on: the options that :func:`with_rows` adds to a command."""

    data: Annotated[
        str | None,
        typer.Option(help="Rows: a CSV, TSV, JSON, JSONL or Parquet file, or a 'datasets' data set, NAME[:SPLIT]."),
    ] = None
    text: Annotated[list[str] | None, typer.Option(help="Column of the text; give two for pairs (default: text).")] = (
        None
    )
    label: Annotated[
        list[str] | None, typer.Option(help="Column of the label, or one per output (default: label).")
    ] = None
    task: Annotated[
        str | None, typer.Option(help="GLUE task, or YAML file of your own task (default: the model's).")
    ] = None
    glue_dir: GlueDir = None
    split: Annotated[str | None, typer.Option(help="Split of the task (default: dev) or data set.")] = None
    limit: Annotated[
        int | None, typer.Option("--limit", "--rows", min=1, help="Use only this many rows, from the first.")
    ] = None
    max_length: Annotated[
        int | None, typer.Option(min=3, help=f"Truncate rows to this many tokens (default: {MAX_LENGTH}).")
    ] = None

    @property
    def named(self) -> bool:
        """Whether rows were requested."""
        return self.data is not None or self.task is not None

    def check(self) -> None:
        """Check that everything that is named exists, before any work (:func:`seek`).

        Raises:
            InputError: something does not exist, or a split of a file was requested.
        """
        from ..tasks.tables import file_of

        seek(self.data, task=self.task, glue_dir=self.glue_dir)
        if self.data is not None and self.split is not None and file_of(self.data):
            raise InputError("a file has no splits", field="--split", cure="drop it, or give a data set")

    def task_name(self, own: str | None) -> str | None:
        """Return the name of the rows' task: the given task, else the model's ``own``, else the name of the data."""
        from ..reading import read_yaml
        from ..tasks.task import get_task, own_task_name

        if self.task is None:
            return own or (Path(self.data).stem if self.data else None)
        if Path(self.task).suffix in YAML:
            return str(own_task_name(read_yaml(Path(self.task)).get("name", Path(self.task).stem)))
        return get_task(self.task).name

    def check_found(self, own: str | None) -> None:
        """Check that GLUE's folder has the rows of the given task, or of the model's ``own`` task if none is given.

        If data are given in their place, check that they have the columns and labels.

        Raises:
            InputError: something is missing.
        """
        from ..tasks import describe, get_task, tasks
        from ..tasks.rows import source_of

        name = self.task or own
        if self.data is not None and self.task is None and own in tasks():
            task = get_task(own)
            describe(self.source, self.text or "text", self.label or "label", kind=task.kind, labels=task.labels)
        if self.data is None and name is not None and Path(name).suffix not in YAML:
            folder = glue_folder(self.glue_dir)
            if folder is not None:
                source_of(get_task(name), self.split or "dev", folder)

    def written(self, task: Task) -> str:
        """Return command line options that select the same rows, without the folder of GLUE's files."""
        columns = task if self.data and self.task is None else self
        given = [
            ("data", self.data),
            ("task", self.task or (None if self.data else task.name)),
            *(("text", own) for own in columns.text or ()),
            *(("label", own) for own in columns.label or ()),
            *((name, getattr(self, name)) for name in ("split", "limit", "max_length")),
        ]
        options = (f"--{name.replace('_', '-')} {shlex.quote(str(own))}" for name, own in given if own is not None)
        return " ".join(options)

    @property
    def source(self) -> str:
        """The data, followed by the split, if any."""
        assert self.data is not None
        return self.data if self.split is None else f"{self.data}:{self.split}"

    @property
    def about(self) -> dict[str, Any]:
        """Return what a result file records about its rows: data other than the task's, the split, and the limit."""
        return {"data": self.source if self.data else None, "split": self.split or "dev", "limit": self.limit}

    def task_for(self, program: Program, labelled: bool = True) -> Task:
        """Return the task for a program, with labels in the program's order.

        Raises:
            InputError: the task is unknown, or its labels or its number of texts are not those of the program.
        """
        from ..tasks.task import check_texts

        task = self._chosen(program, labelled)
        check_texts(len(task.text), program.task, program.texts, program.path)
        return task

    def _chosen(self, program: Program, labelled: bool) -> Task:
        from ..tasks import Task, describe, get_task, tasks
        from ..tasks.evaluate import task_for

        if self.data is not None and self.task is None:
            about: dict[str, Any] = {
                "text": self.text or ["text"],
                "label": self.label or ["label"],
                "kind": program.problem_type.removesuffix("_classification"),
                "labels": program.labels,
                "name": self.task_name(program.task),
            }
            if program.task in tasks():
                own = task_for(program, tasks()[program.task])
                about |= {"metrics": own.metrics, "positive": own.positive}
            return describe(self.source, **about, progress=tracked("labels")) if labelled else Task(**about)
        name = self.task or program.task
        if name is None or (self.task is None and name not in tasks()):
            cure = "give --data FILE --text COLUMN --label COLUMN"
            raise InputError("the model's own rows are not known", file=program.path, field="task", cure=cure)
        if Path(name).suffix in YAML:
            task = Task.from_yaml(name, program.labels, self.source if self.data else None)
        else:
            task = task_for(program, get_task(name))
            if self.data is not None and not self.data.endswith(".tsv"):
                task = task.model_copy(update={"quotes": "csv"})
        columns = {name: given for name, given in (("text", self.text), ("label", self.label)) if given}
        return task.model_copy(update=columns)

    def examples(self, task: Task, labelled: bool = True) -> Examples:
        """Read the rows."""
        from ..tasks import load_examples, read_rows

        if self.data is not None:
            return read_rows(self.source, task, labelled, progress=tracked("read")).first(self.limit)
        folder, split = glue_folder(self.glue_dir), self.split or "dev"
        return load_examples(task, split, folder, progress=tracked("read")).first(self.limit)

    def tokens(self, program: Program, task: Task, labelled: bool = True) -> Tokens:
        """Read and tokenize the rows for a program."""
        from ..tasks.tokens import tokens_for

        examples = self.examples(task, labelled)
        return tokens_for(program, examples, self.max_length or MAX_LENGTH, task=task, progress=tracked("tokens"))

    def splits(self, program: Program, task: Task) -> Splits:
        """Tokenize the rows of a result by split. MNLI also has a split of mismatched rows."""
        from ..tasks.score import dev_rows

        if task.hub is None or self.data is not None or self.split is not None:
            return {"dev": self.tokens(program, task)}
        return dev_rows(program, task, glue_folder(self.glue_dir), self.max_length or MAX_LENGTH, self.limit)


def with_rows(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's parameter ``rows`` by the options of :class:`Rows`, and check that what they name exists."""
    own, hints = inspect.signature(command, eval_str=True), get_type_hints(Rows, include_extras=True)
    options = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=hints[one.name])
        for one in fields(Rows)
    ]
    parameters = [
        new
        for old in own.parameters.values()
        for new in (options if old.name == "rows" else [old.replace(kind=inspect.Parameter.KEYWORD_ONLY)])
    ]

    @wraps(command)
    def run(**given: Any) -> None:
        rows = Rows(**{one.name: given.pop(one.name) for one in options})
        rows.check()
        command(rows=rows, **given)

    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def model_name(given: str | None, rows: Rows) -> str:
    """Return the name of the model to run: the given one, else that of the rows' shipped task, else ``sst2``."""
    from ..tasks import get_task

    if given is None and rows.task is not None and Path(rows.task).suffix not in YAML:
        return get_task(rows.task).name
    return given or "sst2"


def load_rows(model: str | None, rows: Rows, labelled: bool = True) -> tuple[Program, Tokens, Task]:
    """Return a program (:func:`model_name`), its tokenized rows and their task."""
    from ..program.files import load_classifier

    program = load_classifier(model_name(model, rows))
    task = rows.task_for(program, labelled)
    return program, rows.tokens(program, task, labelled), task


def tracked(title: str) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """Show a progress bar on stderr if it is a terminal."""

    def follow(items: Iterable[Any]) -> Iterable[Any]:
        if not sys.stderr.isatty():
            return items
        from rich.console import Console
        from rich.progress import track

        return track(items, title, console=Console(stderr=True))

    return follow
