"""The command line: thin commands, one file per subject, heavy imports inside the functions."""

from __future__ import annotations

import atexit
import gc
import sys

from ..errors import InputError
from . import (  # noqa: F401 (registers the commands)
    bench,
    energy,
    evaluate,
    glue,
    msu,
    pareto,
    predict,
    programs,
    publish,
    run,
    spike,
    trace,
    train,
)
from .app import app


def main() -> None:
    """Entry point: bad input is one line on stderr and exit code 2."""
    atexit.register(gc.freeze)  # leaving takes half a second less where nobody looks for garbage
    try:
        app()
    except InputError as error:
        from rich.console import Console
        from rich.markup import escape

        Console(stderr=True, soft_wrap=True).print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        sys.exit(2)
