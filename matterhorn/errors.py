"""The one kind of error that is the user's to mend."""

from __future__ import annotations

from pathlib import Path


class InputError(ValueError):
    """Bad input: names the place, the field and the cure in one line.

    The command line prints it and ends with exit code 2.
    """

    def __init__(self, problem: str, *, cure: str = "", file: str | Path | None = None, field: str | None = None):
        place = ": ".join(str(part) for part in (file, field) if part is not None)
        text = f"{place}: {problem}" if place else problem
        super().__init__(f"{text}; {cure}" if cure else text)
        self.file, self.field, self.cure = file, field, cure
