"""The error for invalid input, and functions that show text of any origin safely on one line."""

from __future__ import annotations

import re
from pathlib import Path

UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that control a terminal, end a line, change the writing direction, or are invalid (lone surrogates)."""

MARKDOWN = re.compile(r"[|\\`\[\]*~]|(?<![^\W_])_|_(?![^\W_])")
"""Characters with a meaning in Markdown that may occur in names. An underscore within a word has none."""

LONGEST = 1000
"""Maximum number of characters in an error message."""


def visible(text: object) -> str:
    """Make text of any origin safe to print: characters that match :data:`UNSEEN` are escaped, e.g. as ``\\x1b``."""
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def in_markdown(text: object) -> str:
    """Escape text of any origin so that Markdown shows it as it is, in tables too."""
    return MARKDOWN.sub(r"\\\g<0>", visible(text)).replace("<", "&lt;")


class InputError(ValueError):
    """Invalid input. The message is one line that names the place, the field, the problem and a remedy.

    The command line prints it and exits with code 2.

    Args:
        problem: what is wrong.
        cure: what the user can do about it.
        file: file or folder that contains the problem.
        field: argument, option or key that contains the problem.
    """

    def __init__(self, problem: str, *, cure: str = "", file: str | Path | None = None, field: str | None = None):
        place = ": ".join(str(part) for part in (file, field) if part is not None)
        text = f"{place}: {problem}" if place else problem
        text = visible(" ".join(f"{text}; {cure}".split() if cure else text.split()))
        super().__init__(text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}")
        self.problem, self.file, self.field, self.cure = problem, file, field, cure
