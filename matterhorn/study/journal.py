"""Scores of a study, saved to disk as they are computed, so that an interrupted study can be resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ..errors import InputError
from ..reading import Strict, read_mapping, validated
from ..storage import held, put_file

FORMAT = 3
"""Version of the file. Since version 2, chips are drawn by NumPy. Since version 3, values are written in full, and
digital scales do not correct by gains that were measured on few cells.
"""


class _Kept(Strict):
    format: int
    about: dict[str, Any]
    scores: dict[str, Annotated[float, Field(ge=-1, le=1)]]


class Journal:
    """A JSON file with scores by chip, and what they depend on. Use it in a ``with`` statement, which locks it.

    Args:
        path: the file. With every score, it is written anew.
        about: everything that the scores depend on (the program's hash, rows, plan, seed, …), as plain JSON.

    Raises:
        InputError: the file has scores of something else, or another process has locked it.
    """

    def __init__(self, path: Path, about: dict[str, Any]):
        self.path, self.about = path, json.loads(json.dumps(about))
        self.scores: dict[str, float] = {}
        if path.is_file():
            self._read()

    def _read(self) -> None:
        cure = "delete it, or name another output"
        plain = read_mapping(self.path, cure)
        if plain.get("format") != FORMAT:
            raise InputError(f"format {plain.get('format')}, not {FORMAT}", file=self.path, field="format", cure=cure)
        kept = validated(_Kept, plain, self.path, cure)
        for field in self.about:
            if kept.about.get(field) != self.about[field]:
                raise InputError("scores of another study", file=self.path, field=field, cure=cure)
        self.scores = dict(kept.scores)

    def __enter__(self) -> Journal:
        self._lock = held(self.path.with_name(self.path.name + ".lock"), self.path)
        self._lock.__enter__()
        if self.path.is_file():
            self._read()
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(None, None, None)
        self.path.with_name(self.path.name + ".lock").unlink(missing_ok=True)

    def note(self, chip: str, score: float) -> None:
        """Save the score of a chip."""
        self.scores[chip] = score
        kept = {"format": FORMAT, "about": self.about, "scores": self.scores}
        put_file(self.path, json.dumps(kept, indent=1))

    def close(self) -> None:
        """Remove the file, once the answer of the study has been written."""
        self.path.unlink(missing_ok=True)
