"""The one kind of error that is the user's to mend, and how text of any origin is shown in one line."""

from __future__ import annotations

import re
from pathlib import Path

UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What steers a terminal, ends a line, turns the direction of writing, or is no character."""

MARKDOWN = re.compile(r"[|\\`\[\]]")
"""What means something in Markdown, among what names are made of."""

LONGEST = 1000
"""Letters of an error."""


def visible(text: object) -> str:
    """Text of any origin, safe to print: what :data:`UNSEEN` matches is written out, ``\\x1b``."""
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def in_markdown(text: object) -> str:
    """Text of any origin as Markdown that shows just that, in tables too."""
    return MARKDOWN.sub(r"\\\g<0>", visible(text)).replace("<", "&lt;")


class InputError(ValueError):
    """Bad input: names the place, the field and the cure in one line.

    The command line prints it and ends with exit code 2.
    """

    def __init__(self, problem: str, *, cure: str = "", file: str | Path | None = None, field: str | None = None):
        place = ": ".join(str(part) for part in (file, field) if part is not None)
        text = f"{place}: {problem}" if place else problem
        text = visible(" ".join(f"{text}; {cure}".split() if cure else text.split()))
        super().__init__(text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}")
        self.problem, self.file, self.field, self.cure = problem, file, field, cure
