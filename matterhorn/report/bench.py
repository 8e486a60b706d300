"""Tables and a plot of a benchmark."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .picture import save_picture
from .tables import percent

Rows = Sequence[dict[str, Any]]
Table = tuple[str, list[str], list[list[str]]]
"""Title, columns, cells."""

COLUMNS = ["task", "threads", "silent", "quiet", "contestant", "median (IQR)", "n", "events ×", "best ×"]
"""Column titles.

``n`` is the number of calls of which the median is taken. ``events ×`` says how many times as fast as a contestant
``events`` is. ``best ×`` says the same for networks that ran with several numbers of threads, each with its best one.
"""

FORMS = {
    "network": "{layers} × {width}, {rows} {of}",
    "roofline": "{layers} × {width}, {rows} {of}",
    "stages": "{layers} × {width}, {rows} {of}",
    "connection": "{rows} × {in} → {out}",
    "layer": "{rows} × {in} → {out}, T = {steps}",
    "training": "{rows} × {in} → {out}, forward and backward",
    "memory": "{batch} sequences, {tokens} tokens",
}
"""Format of the sizes of a task."""

PANELS = 4
"""Panels of a plot side by side."""


def tables(rows: Rows) -> Iterator[Table]:
    """Make a table for each kind of task, with a line for each contestant. Repeated cells are left out."""
    best = _best(rows)
    for what in dict.fromkeys(row["what"] for row in rows):
        lines, above = [], [""]
        for row in (row for row in rows if row["what"] == what):
            shares = ["" if row[share] is None else percent(row[share]) for share in ("silent_share", "quiet_share")]
            task = [_task(row), str(row["threads"]), *shares]
            other = row["ratio_to"].get("events")
            ratio = "" if not other else f"{1 / other:.2f}"
            count = str(row["calls"]) if row["calls"] else ""
            name = row["contestant"]
            lines.append(
                [*(task if task != above else [""] * 4), name, _figure(row), count, ratio, _at_best(row, best)]
            )
            above = task
        yield what, COLUMNS, lines


def _best(rows: Rows) -> dict[tuple[str, str], float]:
    """Return the least median, in s, by task and contestant, of networks that ran with several numbers of threads."""
    found = defaultdict[tuple[str, str], dict[int, float]](dict)
    for row in rows:
        if row["what"] == "network":
            found[_task(row), row["contestant"]][row["threads"]] = row["median_s"]
    return {key: min(medians.values()) for key, medians in found.items() if len(medians) > 1}


def _at_best(row: dict[str, Any], best: dict[tuple[str, str], float]) -> str:
    """Format how many times as fast as a row's contestant ``events`` is, each with its best number of threads."""
    own, events = (best.get((_task(row), name)) for name in (row["contestant"], "events"))
    if row["what"] != "network" or row["contestant"] == "events" or own is None or events is None:
        return ""
    return f"{own / events:.2f}"


def _task(row: dict[str, Any]) -> str:
    return FORMS.get(row["what"], "").format_map(defaultdict(str, row["shape"]))


def _figure(row: dict[str, Any]) -> str:
    """Format a median (interquartile range) with its unit, or another figure."""
    mega = " MB"
    others = ", ".join(
        f"{name.removesuffix(mega)} {value:.3g}{mega if name.endswith(mega) else ''}"
        for name, value in row["extra"].items()
    )
    if row["median_s"] is None:
        return others
    forms = ((1, "{:.2f} ({:.2f}) s"), (1e3, "{:.2f} ({:.2f}) ms"), (1e6, "{:.0f} ({:.0f}) µs"))
    scale, form = next((form for form in forms if row["median_s"] * form[0] >= 1), forms[-1])
    return form.format(row["median_s"] * scale, (row["iqr_s"] or 0.0) * scale) + (others and f"; {others}")


def plot_silence(rows: Rows, path: Path) -> None:
    """Plot the time of a connection against its silent share: a line per contestant, a panel per shape.

    The quiet share is the same here, since all spikes reach the same number of synapses. ``rows`` must contain some of
    connections.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    own = [row for row in rows if row["what"] == "connection"]
    shapes = list(dict.fromkeys(map(_task, own)))
    down, across = -(-len(shapes) // PANELS), min(PANELS, len(shapes))
    figure, panels = pyplot.subplots(
        down, across, figsize=(3 * across, 2.4 * down), squeeze=False, sharex=True, layout="constrained"
    )
    for panel in panels.flat[len(shapes) :]:
        panel.set_axis_off()
    for panel, shape in zip(panels.flat, shapes, strict=False):
        for name in dict.fromkeys(row["contestant"] for row in own):
            here = [row for row in own if (_task(row), row["contestant"]) == (shape, name)]
            shares, times = (
                [scale * row[key] for row in here] for key, scale in (("silent_share", 100), ("median_s", 1e3))
            )
            panel.plot(shares, times, marker="o", markersize=4, label=name)
        panel.set(yscale="log")
        panel.grid(alpha=0.3)
        panel.set_title(shape, fontsize=9)
    lines, names = panels[0][0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside upper center", ncols=len(names))
    figure.supxlabel("silent and quiet share, %", fontsize=10)
    figure.supylabel("milliseconds of one call", fontsize=10)
    save_picture(figure, path, dpi=120)
