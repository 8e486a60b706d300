"""The Typer application, and options and functions that its commands share."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from .. import __version__
from ..errors import InputError, visible

COMMANDS = {
    "run": ["run"],
    "predict": ["predict"],
    "evaluate": ["evaluate"],
    "spike": ["spike"],
    "programs": ["convert", "verify", "info", "upgrade", "warm"],
    "publish": ["publish"],
    "energy": ["energy", "compare"],
    "chips": ["chips"],
    "pareto": ["pareto"],
    "trace": ["trace"],
    "msu": ["msu"],
    "glue": ["glue"],
    "train": ["train", "course"],
    "data": ["data"],
    "bench": ["bench"],
}
"""Commands by file. Only the file of the called command is imported, so that it starts quickly."""


class Commands(TyperGroup):
    """All commands. Each is imported when it is needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """List commands in the order of :data:`COMMANDS`; see :class:`TyperGroup`."""
        return [name for names in COMMANDS.values() for name in names]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; see :class:`TyperGroup`.

        For an unknown name, all files are imported, so that similar names can be suggested.
        """
        for file in [file for file, names in COMMANDS.items() if cmd_name in names] or COMMANDS:
            import_module(f".{file}", __package__)
        self.commands = get_group(app).commands
        return self.commands.get(cmd_name)


app = typer.Typer(
    name="matterhorn",
    cls=Commands,
    help="Spiking transformers with masked time-to-first-spike codes: convert exactly, run, and bill the energy.",
    invoke_without_command=True,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


def _without_a_chip(backend: str) -> str:
    if backend == "analog":
        cure = "take matterhorn evaluate, which has --device and --circuit"
        raise InputError("analog needs a chip", field="--backend", cure=cure)
    return backend


BackendName = Annotated[
    str,
    typer.Option(
        "--backend", callback=_without_a_chip, help="events, exact or stepped; all give bit-identical results."
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Allow OUTPUT to contain other files, which are kept, and edited files of ours, which are replaced.",
    ),
]
A_MODEL = "Model: name, folder, or OWNER/NAME on the hub"
ModelName = Annotated[str, typer.Option("--model", help=f"{A_MODEL}.")]
TaskModel = Annotated[str | None, typer.Option("--model", help=f"{A_MODEL} (default: that of the task).")]

PAGES, PICTURES, TRACES = (".html", ".htm"), (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp"), (".gz",)
"""File name endings of the outputs."""


@app.callback()
def version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """Spiking transformers with masked time-to-first-spike codes: convert exactly, run, and bill the energy."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


def print_json(answer: dict[str, Any]) -> None:
    """Print an answer as JSON."""
    from ..report.page_file import as_json

    typer.echo(as_json(answer, indent=2))


def say(text: str, *, err: bool = False) -> None:
    """Print one line of text, with special characters of any names in it escaped."""
    typer.echo(visible(text), err=err)


def say_cut(cut: int, rows: int, length: int) -> None:
    """Print on standard error how many rows were truncated, if any were."""
    if cut:
        say(f"{cut} of {rows} rows were truncated to {length} tokens; --max-length allows more", err=True)


def given(context: typer.Context, *options: str) -> list[str]:
    """Return which of these options were given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in options}
    return [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]


def plain_when_piped() -> None:
    """Turn off the progress bars of other libraries if stderr is not a terminal."""
    if not sys.stderr.isatty():
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
