"""The command line: thin commands, one file per subject, imported when called; heavy imports inside the functions."""

from __future__ import annotations

import atexit
import codecs
import gc
import io
import sys

from ..errors import InputError, visible
from .app import app

SPELLED = {"µ": "u", "²": "2", "×": "x", "±": "+-", "–": "-", "…": "...", "→": "->", "κ": "kappa", "Δ": "delta"}
"""Of letters of our own tables, for streams of ASCII."""


def main() -> None:
    """Entry point: bad input, and what the operating system refuses, is one line on stderr and exit code 2."""
    atexit.register(gc.freeze)  # leaving takes half a second less where nobody looks for garbage
    codecs.register_error("spelled", _spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="spelled")
    try:
        app()
    except (InputError, OSError) as error:
        from rich.console import Console
        from rich.text import Text

        line = Text.assemble(("error:", "red"), " ", visible(error))
        Console(stderr=True, soft_wrap=True).print(line, highlight=False)
        sys.exit(2)


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """What a stream's encoding has not, in letters that all have."""
    assert isinstance(error, UnicodeEncodeError)
    unknown = error.object[error.start : error.end]
    return "".join(SPELLED.get(letter, "?") for letter in unknown), error.end
