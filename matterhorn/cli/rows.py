"""What the commands that run over a data set share: which model, which rows, which processes, a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .extras import need
from .hub import notice_offline

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ..program import Program
    from ..tasks import Task
    from ..tasks.tokens import Tokens

GlueDir = Annotated[
    Path | None,
    typer.Option(help="Folder of GLUE files (default: $MATTERHORN_GLUE_DIR; without either, the hub)."),
]
Split = Annotated[str, typer.Option(help="Which rows.")]
Limit = Annotated[int | None, typer.Option(help="Only the first rows.")]
MaxLength = Annotated[int, typer.Option(help="Rows are cut to this many tokens.")]

WORLD_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Where launchers (torchrun, MPI) leave the number of processes."""


def glue_folder(given: Path | None) -> Path | None:
    """The folder given, or the one the environment names; without either rows come from the hub."""
    named = os.environ.get("MATTERHORN_GLUE_DIR")
    folder = given or (Path(named) if named else None)
    if folder is None:
        need("train", "datasets", instead="give --glue-dir")
        notice_offline()
    return folder


def load_rows(
    model: str | None, task: str | None, split: str, glue_dir: Path | None, max_length: int, limit: int | None
) -> tuple[Program, Tokens, Task]:
    """A program and the tokenized rows of a task it was trained for."""
    from ..program.files import load_classifier
    from ..tasks import get_task, load_examples
    from ..tasks.evaluate import check_task
    from ..tasks.tokens import tokens_for

    program = load_classifier(model or ("sst2" if task is None else get_task(task).name))
    name = task or program.task
    if name is None:
        raise InputError("the model does not say its task", file=program.path, field="task", cure="give --task")
    chosen = get_task(name)
    check_task(program, chosen)
    examples = load_examples(chosen, split, glue_folder(glue_dir))
    if limit is not None:
        examples = examples.subset(list(range(min(limit, len(examples)))))
    return program, tokens_for(program, examples, max_length, task=chosen), chosen


def tracked(title: str) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """A progress bar on stderr where a person looks on."""

    def follow(items: Iterable[Any]) -> Iterable[Any]:
        if not sys.stderr.isatty():
            return items
        from rich.console import Console
        from rich.progress import track

        return track(items, title, console=Console(stderr=True))

    return follow


def launched() -> Accelerator | None:
    """The processes that ``accelerate launch`` started, if there are several."""
    if all(int(os.environ.get(name, "1")) < 2 for name in WORLD_SIZES):
        return None
    need("train", "torch", "accelerate")
    import torch
    from accelerate import Accelerator

    return Accelerator(cpu=not torch.cuda.is_available())


def shared(accelerator: Accelerator | None) -> dict[str, Any]:
    """Arguments of :func:`matterhorn.tasks.evaluate.evaluate` that share its rows among the processes."""
    if accelerator is None:
        return {}
    from accelerate.utils import gather_object

    shard = accelerator.process_index, accelerator.num_processes
    return {"shard": shard, "gather": lambda own: gather_object([own])}
