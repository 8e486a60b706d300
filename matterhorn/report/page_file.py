"""Write a self-contained HTML file that works offline: frame, style, scripts, data and the plotting library."""

from __future__ import annotations

import html
import json
import math
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..reading import read_text


def fill_page(name: str, title: str, data: dict[str, Any]) -> str:
    """Fill the page ``page/<name>.html`` with ``page/<name>.js`` and its data as JSON, so that nothing needs to be
    loaded.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        cure = 'pip install "matterhorn-snn[plot]"'
        raise InputError("the page needs plotly", field="--html", cure=cure) from error
    heading, main = _file(f"{name}.html").split("<!--MAIN-->\n")
    script = _file("common.js") + _file(f"{name}.js")
    return fill_frame(title, heading.rstrip("\n"), main.rstrip("\n"), data, script, get_plotlyjs())


def fill_frame(title: str, heading: str, main: str, data: Any, script: str = "", plotly: str = "") -> str:
    """Fill ``page/frame.html``, which all pages share.

    Args:
        title: title of the page, as text.
        heading, main: the page's two parts, as HTML.
        data: data to embed as JSON.
        script, plotly: scripts of the page, and the plotting library.
    """
    parts = {
        "TITLE": html.escape(title),
        "STYLE": _file("style.css"),
        "HEADING": heading,
        "MAIN": main,
        "DATA": in_page(data),
        "SCRIPT": script,
        "PLOTLY": plotly,
    }
    text = _file("frame.html")
    for part, content in parts.items():
        text = text.replace(f"<!--{part}-->", content, 1)
    return text


def in_page(data: Any) -> str:
    """Format data as JSON for a script element. Nothing in it can end the element or start another."""
    return as_json(data).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def as_json(value: Any, indent: int | None = None) -> str:
    """Format JSON. Numbers that are not finite become null."""
    return json.dumps(_finite(value), indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(own) for name, own in value.items()}
    return [_finite(own) for own in value] if isinstance(value, (list, tuple)) else value


def _file(name: str) -> str:
    return read_text(Path(__file__).parent / "page" / name)
