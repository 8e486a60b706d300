"""The study page: one self-contained HTML file that works offline. Figures are those of the JSON answer, embedded."""

from __future__ import annotations

import html
import json
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import InputError
from .study_table import shown


def write_study_page(path: Path, answer: dict[str, Any]) -> None:
    """Write the page of an answer of ``matterhorn msu study``."""
    try:
        path.write_text(render_study(answer), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write ({error.strerror})", file=path, field="--html", cure="name a file in a folder "
                         "that exists") from error  # fmt: skip


def render_study(answer: dict[str, Any]) -> str:
    """The page as text."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        cure = 'pip install "matterhorn-snn[plot]"'
        raise InputError("the page needs plotly", field="--html", cure=cure) from error
    words = {name: shown(s["needed"], s["points"], s["unit"]) for name, s in answer["studies"].items()}
    files = resources.files("matterhorn.report") / "page"
    text = (files / "study.html").read_text(encoding="utf-8")
    parts = {
        "TITLE": html.escape(f"{answer['model']} on memristors"),
        "STYLE": (files / "energy.css").read_text(encoding="utf-8"),
        "DATA": json.dumps({"answer": answer, "needed": words}).replace("</", "<\\/"),
        "SCRIPT": (files / "study.js").read_text(encoding="utf-8"),
        "PLOTLY": get_plotlyjs(),
    }
    for name, content in parts.items():
        text = text.replace(f"<!--{name}-->", content, 1)
    return text
