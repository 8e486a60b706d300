"""A study's scores as they come, on disk: an hour of chips is not lost to a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ..errors import InputError
from ..reading import Strict, read_mapping, validated
from ..storage import held, put_file

FORMAT = 3
"""Of the file; 2: chips drawn by NumPy; 3: values in full, digital scales that trust no gain of few cells."""


class _Kept(Strict):
    format: int
    about: dict[str, Any]
    scores: dict[str, Annotated[float, Field(ge=-1, le=1)]]


class Journal:
    """A JSON file of scores by chip, and of what they depend on. In a ``with`` statement no other process has it too.

    Args:
        path: the file; written whole with every score.
        about: whatever the scores depend on (the program's hash, rows, plan, seed …), as plain JSON.

    Raises:
        InputError: the file holds the scores of something else, or another process has it.
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
        """Keep one chip's score."""
        self.scores[chip] = score
        kept = {"format": FORMAT, "about": self.about, "scores": self.scores}
        put_file(self.path, json.dumps(kept, indent=1))

    def close(self) -> None:
        """The answer is written: the journal is not needed any more."""
        self.path.unlink(missing_ok=True)
