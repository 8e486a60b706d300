"""The command line.

Commands are thin. Related commands share a file, which is imported when one of them is called. Heavy imports are inside
the functions, so that ``--help`` and errors appear at once.
"""

from __future__ import annotations

import atexit
import codecs
import gc
import io
import sys
import warnings
from typing import Any

import typer

from ..errors import InputError, visible
from .app import app

SPELLED = {"µ": "u", "²": "2", "×": "x", "±": "+-", "–": "-", "…": "...", "→": "->", "κ": "kappa", "Δ": "delta"}
"""ASCII spellings of special characters in our tables, for streams that cannot encode them."""


def main() -> None:
    """Entry point of the command line.

    Bad input, wrong usage and errors of the operating system print one line on stderr and exit with code 2. Warnings
    are one line each, without the line of code that issues them.
    """
    atexit.register(gc.freeze)  # skips the last garbage collection, which takes half a second
    codecs.register_error("spelled", _spelled)
    warnings.showwarning = lambda message, *_, **__: _say(str(message), "warning", "yellow")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="spelled")
    try:
        code = app(standalone_mode=False) or 0
    except (InputError, OSError) as error:
        code = 2
        _say(str(error))
    except typer.Abort:
        code = 1
    except _WrongCall as error:
        code = 2
        if type(error).__name__ != "NoArgsIsHelpError":  # then the help has been printed already
            command = error.ctx.command_path if error.ctx else "matterhorn"
            _say(f"{error.format_message().rstrip('.')}; see {command} --help")
    if code:
        sys.exit(code)


_WrongCall: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""Base class of errors about a command, option or argument that does not exist, lacks its value or has a wrong one.

Some versions of typer include their own copy of click, so the class is looked up instead of imported.
"""


def _say(problem: str, kind: str = "error", color: str = "red") -> None:
    """Print an error or a warning in one line. Its kind has a color if the terminal has colors."""
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble((f"{kind}:", color), " ", visible(" ".join(problem.split())))
    Console(stderr=True, soft_wrap=True).print(line, highlight=False)


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that a stream's encoding lacks by ASCII."""
    assert isinstance(error, UnicodeEncodeError)
    unknown = error.object[error.start : error.end]
    return "".join(SPELLED.get(letter, "?") for letter in unknown), error.end
