"""Tables of a benchmark, for the terminal and for the docs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Table = tuple[str, list[str], list[list[str]]]

FORMS = {
    "network": "{layers} × {width}: {batch} × {longest}, {tokens} tokens, {data}",
    "connection": "{rows} × {in} → {out}",
    "layer": "{rows} × {in} → {out}, T = {steps}",
    "training step": "{batch} × {tokens}",
    "memory": "{batch} sequences, {tokens} tokens",
}
"""How the sizes of a task are written."""


def tables(rows: list[dict[str, Any]]) -> Iterator[Table]:
    """A table for each kind of task: title, columns, cells."""
    for what in dict.fromkeys(row["what"] for row in rows):
        own = [row for row in rows if row["what"] == what]
        rivals = list(dict.fromkeys(name for row in own for name in row["ratio_to"]))
        columns = ["engine", "shape", "threads", "silent", "median", "IQR", *[f"× {name}" for name in rivals]]
        extras = list(dict.fromkeys(name for row in own for name in row["extra"]))
        yield what, columns + extras, [_cells(row, rivals, extras) for row in own]


def markdown(table: Table) -> str:
    """A table as Markdown."""
    title, columns, rows = table
    lines = [f"### {title}", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *["| " + " | ".join(row) + " |" for row in rows], ""])


def _cells(row: dict[str, Any], rivals: list[str], extras: list[str]) -> list[str]:
    shape = FORMS.get(row["what"], "").format(**row["shape"])
    silent = "" if row["silent_share"] is None else f"{100 * row['silent_share']:.1f} %"
    ratios = [f"{row['ratio_to'][name]:.2f}" if name in row["ratio_to"] else "" for name in rivals]
    figures = [f"{row['extra'][name]:.2f}" if name in row["extra"] else "" for name in extras]
    times = [_time(row["median_s"]), _time(row["iqr_s"])]
    return [row["engine"], shape, str(row["threads"]), silent, *times, *ratios, *figures]


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"
