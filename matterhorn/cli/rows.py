"""What the commands that run over a data set share: which model, which rows, a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError

if TYPE_CHECKING:
    from ..models.spiking import SpikingNetwork
    from ..training.data import Tokens
    from ..training.tasks import Task

GlueDir = Annotated[
    Path | None,
    typer.Option(help="Folder of GLUE files (default: $MATTERHORN_GLUE_DIR; without either, the hub)."),
]
MaxLength = Annotated[int, typer.Option(help="Rows are cut to this many tokens.")]


def glue_folder(given: Path | None) -> Path | None:
    """The folder given, or the one the environment names."""
    named = os.environ.get("MATTERHORN_GLUE_DIR")
    return given or (Path(named) if named else None)


def load_tokens(
    model: str | None, task: str | None, split: str, glue_dir: Path | None, max_length: int, limit: int | None
) -> tuple[SpikingNetwork, Tokens, Task]:
    """A spiking network and the tokenised rows of a task it was trained for."""
    from ..models.checkpoint import load_classifier
    from ..training.data import load_examples, tokenize, tokenizer_of
    from ..training.tasks import get_task
    from ..zoo import find

    if model is None:
        model = "sst2" if task is None else get_task(task).name
    folder = find(model)
    network = load_classifier(folder)
    name = task or network.config.task
    if name is None:
        raise InputError("the model does not say its task", field="task", cure="give --task")
    chosen = get_task(name)
    if network.config.task not in (None, chosen.name):
        problem = f"model {model!r} was trained for {network.config.task}, not for {chosen.name}"
        raise InputError(problem, field="task", cure="give a model of this task")
    if network.config.num_labels != chosen.outputs:
        problem = f"model {model!r} has {network.config.num_labels} outputs, {chosen.name} wants {chosen.outputs}"
        raise InputError(problem, field="task", cure="give a model of this task")
    examples = load_examples(chosen, split, glue_folder(glue_dir))
    if limit is not None:
        examples = examples.subset(list(range(min(limit, len(examples)))))
    tokenizer = tokenizer_of(folder)
    return network, tokenize(examples, tokenizer, chosen, max_length), chosen


def tracked(title: str) -> Callable[[Iterable], Iterable]:
    """A progress bar on stderr where a person looks on."""
    from rich.console import Console
    from rich.progress import track

    def follow(items: Iterable) -> Iterable:
        return track(items, title, console=Console(stderr=True), disable=not sys.stderr.isatty())

    return follow
