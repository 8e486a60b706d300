"""The Typer application and what its commands share."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="matterhorn",
    help="Spiking transformers with masked time-to-first-spike codes: convert exactly, run, and tell the cost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def print_json(answer: dict[str, Any]) -> None:
    """Print an answer for machines."""
    typer.echo(json.dumps(answer, indent=2))
