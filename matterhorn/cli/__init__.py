"""The command line: thin commands, one file per subject, heavy imports inside the functions."""

from __future__ import annotations

import atexit
import gc
import sys

from rich.console import Console

from ..errors import InputError
from . import bench, checkpoints, energy, evaluate, glue, msu, run, study, train, warm  # noqa: F401 (registers the commands)
from .app import app


def main() -> None:
    """Entry point: bad input is one line on stderr and exit code 2."""
    atexit.register(gc.freeze)  # leaving takes half a second less where nobody looks for garbage
    try:
        app()
    except InputError as error:
        Console(stderr=True, soft_wrap=True).print(f"[red]error:[/red] {error}", highlight=False, markup=True)
        sys.exit(2)
