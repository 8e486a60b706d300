"""One self-contained HTML file that works offline: frame, style, scripts, data and the plotting library."""

from __future__ import annotations

import html
import json
from importlib import resources
from typing import Any

from ..errors import InputError


def fill_page(name: str, title: str, data: dict[str, Any]) -> str:
    """The page ``page/<name>.html`` with ``page/<name>.js`` in it, its data as JSON, and nothing to be loaded."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        cure = 'pip install "matterhorn-snn[plot]"'
        raise InputError("the page needs plotly", field="--html", cure=cure) from error
    heading, main = _file(f"{name}.html").split("<!--MAIN-->\n")
    parts = {
        "TITLE": html.escape(title),
        "STYLE": _file("style.css"),
        "HEADING": heading.rstrip("\n"),
        "MAIN": main.rstrip("\n"),
        "DATA": json.dumps(data).replace("</", "<\\/"),
        "SCRIPT": _file("common.js") + _file(f"{name}.js"),
        "PLOTLY": get_plotlyjs(),
    }
    text = _file("frame.html")
    for part, content in parts.items():
        text = text.replace(f"<!--{part}-->", content, 1)
    return text


def _file(name: str) -> str:
    return (resources.files("matterhorn.report") / "page" / name).read_text(encoding="utf-8")
