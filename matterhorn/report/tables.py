"""Tables for the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import visible

FIGURE = re.compile(r"-?[\d.]+(e-?\d+)?( ± [\d.]+)?( ?%| ?x| [afpnµm]?[JsWm]²?)?\??|–")
"""A cell with a number, possibly with a spread, a unit or a question mark, or with a dash for an unknown number."""

WORDS = re.compile(" (?![a-zµA-Z])")
"""Spaces at which a cell may be broken: not those before a unit."""

SMALL = 1e-3
"""Numbers below it are rounded to significant digits instead of decimals."""

SHORT = 8
"""Words of up to so many letters are not broken."""


def print_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print a table, no wider than 80 columns if possible.

    Numbers are right-aligned and not broken, except that a spread may be on its own line.
    """
    table = Table(
        title=Text(visible(title)) if title else None,
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=0,
    )
    cells = [[_text(value) for value in row] for row in rows]
    for index, column in enumerate(columns):
        numeric = bool(cells) and all(FIGURE.fullmatch(row[index]) for row in cells)
        longest = max((len(word) for row in cells for word in WORDS.split(row[index])), default=0)
        whole = longest if numeric or longest <= SHORT else None
        table.add_column(
            Text(visible(column)), justify="right" if numeric else "left", overflow="fold", min_width=whole
        )
    for row in cells:
        table.add_row(*map(Text, row))
    Console().print(table, "")


def print_line(*parts: str | tuple[str, str]) -> None:
    """Print text without interpreting it. Of a pair, the second item is its style."""
    styled = ((part, "") if isinstance(part, str) else part for part in parts)
    Console().print(Text.assemble(*((visible(text), style) for text, style in styled)))


def print_facts(title: str, facts: Mapping[str, Any]) -> None:
    """Print names and values. Unknown values and the format number are left out."""
    known = [(name, value) for name, value in facts.items() if value is not None and name != "format"]
    print_table(title, ("what", "value"), known)


def percent(share: float) -> str:
    """Format a share as a percentage."""
    return f"{100 * share:.2f} %"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if 0 < abs(value) < SMALL else f"{value + 0.0:.4f}"  # (adding 0.0 turns -0.0 into 0.0)
    if isinstance(value, Mapping):
        return ", ".join(f"{visible(name)} {_text(own)}" for name, own in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, (list, tuple)) else visible(value)
