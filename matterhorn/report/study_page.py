"""The study page. Figures are those of the JSON answer, embedded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .page_file import fill_page, write_page_file
from .study_table import caveat, shown


def write_study_page(path: Path, answer: dict[str, Any]) -> None:
    """Write the page of an answer of ``matterhorn msu study``."""
    words = {name: shown(s["needed"], s["points"], s["unit"]) for name, s in answer["studies"].items()}
    data = {"answer": answer, "needed": words, "caveat": caveat(answer)}
    write_page_file(path, fill_page("study", f"{answer['model']} on memristors", data))
