"""Tables of a benchmark, for the terminal and for the docs: one line a task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError

Table = tuple[str, list[str], list[list[str]]]

FORMS = {
    "network": "{layers} × {width}, {batch} × {longest}, {tokens} tokens: {data}",
    "connection": "{rows} × {in} → {out}",
    "layer": "{rows} × {in} → {out}, T = {steps}",
    "training step": "{batch} × {tokens} tokens",
    "memory": "{batch} sequences, {tokens} tokens",
    "evaluation memory": "{rows} rows, {tokens} tokens",
}
"""How the sizes of a task are written."""

RATIOS = {
    "network": (("exact", "hf-fp32"), ("events", "hf-fp32"), ("events", "hf-int8-dynamic"), ("events", "exact")),
    "connection": (("events", "fp32"), ("events", "int8-dynamic"), ("events", "exact")),
    "training step": (("fine-tuning", "distillation"),),
}
"""Which ratios of medians a table shows: how many times faster the one is than the other."""


def tables(rows: list[dict[str, Any]]) -> Iterator[Table]:
    """A table for each kind of task: title, columns, cells. Contestants of a task stand in one line."""
    for what in dict.fromkeys(row["what"] for row in rows):
        own = [row for row in rows if row["what"] == what]
        yield (
            _figures(what, own)
            if any(row["silent_share"] is None and row["extra"] for row in own)
            else _race(what, own)
        )


def _race(what: str, rows: list[dict[str, Any]]) -> Table:
    """A line for each task: medians (interquartile ranges) of all contestants, then ratios."""
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    tasks: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for row in rows:
        key = (*row["shape"].values(), row["threads"], row["silent_share"])
        tasks.setdefault(key, {})[row["engine"]] = row
    pairs = RATIOS.get(what, ())
    ratios = [f"{one} × {other}" for one, other in pairs]
    if what == "layer":
        ratios = ["exact × fastest peer", "events × fastest peer"]
    lines = []
    for runs in tasks.values():
        first = next(iter(runs.values()))
        silent = "" if first["silent_share"] is None else f"{100 * first['silent_share']:.1f} %"
        times = [_spread(runs[name]) if name in runs else "" for name in engines]
        found = [_ratio(runs, one, other) for one, other in pairs]
        if what == "layer":
            found = [_fastest(runs.get(name)) for name in ("exact", "events")]
        lines.append([FORMS[what].format(**first["shape"]), str(first["threads"]), silent, *times, *found])
    return what, ["task", "threads", "silent", *engines, *ratios], lines


def _figures(what: str, rows: list[dict[str, Any]]) -> Table:
    """A line for each row, with its other figures."""
    extras = list(dict.fromkeys(name for row in rows for name in row["extra"]))
    lines = []
    for row in rows:
        figures = [f"{row['extra'][name]:.2f}" if name in row["extra"] else "" for name in extras]
        lines.append([row["engine"], FORMS.get(what, "").format(**row["shape"]), _spread(row), *figures])
    return what, ["what", "task", "median (IQR)", *extras], lines


def markdown(table: Table) -> str:
    """A table as Markdown."""
    title, columns, rows = table
    lines = [f"### {title}", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *["| " + " | ".join(row) + " |" for row in rows], ""])


MARKS = "<!-- bench: begin -->", "<!-- bench: end -->"
"""Between these, a page holds the tables of a run."""


def page_of(answer: dict[str, Any]) -> str:
    """A run as Markdown: the machine, then every table."""
    machine = answer["machine"]
    rates = f"{machine['fp32_gmacs']:.0f} · 10⁹ fp32 and {machine['int8_gmacs']:.0f} · 10⁹ int8 products per second"
    told = (
        f"Measured {machine['date']} on {machine['processor']}, {machine['cores']} cores, load {machine['load']:.1f}, "
        f"PyTorch {machine['torch']}. One thread: {rates}, {machine['copy_gbytes']:.1f} GB/s copied."
    )
    return "\n".join([told, "", *map(markdown, tables(answer["rows"]))])


def insert(text: str, page: str, file: Path) -> str:
    """The page with ``text`` between its marks."""
    before, begin, rest = page.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not (begin and end):
        raise InputError(f"no {MARKS[0]} … {MARKS[1]}", file=file, cure="put both marks where the tables go")
    return f"{before}{begin}\n{text}\n{end}{after}"


def _ratio(runs: dict[str, dict[str, Any]], one: str, other: str) -> str:
    return f"{runs[other]['median_s'] / runs[one]['median_s']:.2f}" if one in runs and other in runs else ""


def _fastest(row: dict[str, Any] | None) -> str:
    return f"{min(row['ratio_to'].values()):.0f}" if row and row["ratio_to"] else ""


def _spread(row: dict[str, Any]) -> str:
    if row["median_s"] is None:
        return ""
    scale, unit, digits = next(
        form for form in ((1, "s", 2), (1e3, "ms", 2), (1e6, "µs", 0)) if row["median_s"] * form[0] >= 1
    )
    return f"{row['median_s'] * scale:.{digits}f} ({row['iqr_s'] * scale:.{digits}f}) {unit}"
