"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def print_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print a table; numbers to the right."""
    table = Table(title=title, title_justify="left", header_style="bold")
    cells = [[_text(value) for value in row] for row in rows]
    for index, column in enumerate(columns):
        numeric = all(
            row[index].replace(".", "").replace("%", "").replace(" ", "").lstrip("-").isdigit() for row in cells
        )
        table.add_column(column, justify="right" if numeric and cells else "left", overflow="fold")
    for row in cells:
        table.add_row(*row)
    Console().print(table)


def print_facts(title: str, facts: Mapping[str, Any]) -> None:
    """Print names and values."""
    print_table(title, ("what", "value"), facts.items())


def percent(share: float) -> str:
    """A share as per cent."""
    return f"{100 * share:.2f} %"


def _text(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
