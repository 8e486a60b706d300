"""A study's scores as they come, on disk: an hour of chips is not lost to a kill."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from ..errors import InputError
from ..reading import Strict, read_mapping, validated

FORMAT = 2
"""Of the file; 2: chips drawn by NumPy."""


class _Kept(Strict):
    format: int
    about: dict[str, Any]
    scores: dict[str, Annotated[float, Field(ge=-1, le=1)]]


class Journal:
    """A JSON file of scores by chip, and of what they depend on.

    Args:
        path: the file; written whole with every score, to a temporary name first.
        about: whatever the scores depend on (the program's hash, rows, plan, seed …), as plain JSON.

    Raises:
        InputError: the file holds the scores of something else.
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

    def note(self, chip: str, score: float) -> None:
        """Keep one chip's score."""
        self.scores[chip] = score
        fresh = self.path.with_name(self.path.name + ".tmp")
        kept = {"format": FORMAT, "about": self.about, "scores": self.scores}
        fresh.write_text(json.dumps(kept, indent=1), encoding="utf-8")
        os.replace(fresh, self.path)

    def close(self) -> None:
        """The answer is written: the journal is not needed any more."""
        self.path.unlink(missing_ok=True)
