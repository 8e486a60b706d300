"""The GLUE table in the terminal, in Markdown and in LaTeX.

Values are percentage points, mean ± spread over seeds. A dash stands for an unknown value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..errors import in_markdown, visible
from ..tasks.results import Result
from .glue_rows import FIGURES, RIVAL_TASKS, Mean, Published, Row, lines_of, means_of, published, rows_of, standing

Table = tuple[str, list[str], list[list[str]]]
"""Title, columns, rows."""

FORMAT = 5
"""Version of the JSON document. 3 added intervals; 4, widths of weights and targets; 5, backbones of rivals."""

DASH, UNCONFIRMED = "–", "?"
USUAL_WEIGHTS, USUAL_RIVAL = "int1", "BERT-base"
"""Weights, and backbone of rivals, that the table does not name."""

NOTES = (
    "Scores on development sets, in points. k = 0: the quantized network without a dead zone. FFN: intermediate "
    "neurons of a block. Silent: share of neuron-windows without an event. Quiet: share of synaptic operations that "
    "never happen. Events: per token. Drop: teacher − spiking. After a task: its model, how its events were "
    "distributed (by price, or for a quiet share), its number of blocks if it has fewer than its teacher, and its "
    "weights unless they have one bit.",
    "± is the sample standard deviation over seeds. Brackets contain the 95 % interval of one seed for other rows of "
    "the same kind (Wilson for shares of rows, otherwise bootstrap).",
    f"Rivals are quoted as published. {UNCONFIRMED}: not confirmed. {DASH}: not known. Their backbone is {USUAL_RIVAL} "
    "unless another one is named, so compare drops rather than scores.",
)


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """Return ``{format, rows, tasks, means, rivals}``. Values are between 0 and 1, but drops of ``rows`` are points.

    ``rows`` has an entry for each network of each run. In ``tasks``, runs that differ only in seed share one.
    """
    rows = rows_of(results)
    return {
        "format": FORMAT,
        "rows": [line.as_json() for line in lines_of(results)],
        "tasks": [asdict(row, dict_factory=_plain) for row in rows],
        "means": [asdict(mean) for mean in means_of(rows)],
        "rivals": [rival.as_json() for rival in published()],
    }


def _plain(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a row's fields as a dictionary, without ``model`` if it is None."""
    return {name: value for name, value in fields if name != "model" or value is not None}


def tables(results: Sequence[Result]) -> list[Table]:
    """Return the tables: our results by task, means over tasks, and published rivals beside ours."""
    rows = rows_of(results)
    means = means_of(rows)
    columns = [
        "task", "metric", "teacher", "k = 0", "k", "FFN", "spiking", "silent", "quiet", "events", "drop", "seeds",
    ]  # fmt: skip
    lines = [line for row in rows for line in [_line(row), *[_line(other) for other in row.also.values()]]]
    averages = (
        "Means over tasks",
        ["mean over", "tasks", *[name.replace("_", " ") for name in FIGURES]],
        [_mean_line(mean) for mean in means],
    )
    heads = ["model", *RIVAL_TASKS, "mean", "drop"]
    ours = [_own_line(mean, rows) for mean in means if mean.name == "the rivals' seven"]
    beside = ("Published beside it", heads, ours + [_rival_line(rival) for rival in published()])
    return [("GLUE", columns, lines), *([averages] if means else []), beside]


def markdown(results: Sequence[Result]) -> str:
    """Return the tables in GitHub's Markdown."""
    from tabulate import tabulate

    parts = []
    for title, columns, lines in tables(results):
        cells = [[*map(in_markdown, line)] for line in lines]
        parts.append(f"### {title}\n\n" + tabulate(cells, columns, tablefmt="github", disable_numparse=True))
    return "\n\n".join([*parts, *NOTES, "Sources:", "\n".join(f"- {r.name}: {r.source}" for r in published())])


def latex(results: Sequence[Result]) -> str:
    """Return the tables in LaTeX, for booktabs."""
    from tabulate import tabulate

    parts = []
    for title, columns, lines in tables(results):
        align = ["left", *["right"] * (len(columns) - 1)]
        cells = [[*map(visible, line)] for line in lines]
        body = tabulate(cells, columns, tablefmt="latex_booktabs", disable_numparse=True, colalign=align)
        parts.append(f"% {title}\n{body}")
    text = "\n\n".join(parts).replace("±", r"$\pm$").replace(DASH, "--")
    notes = "\n".join(f"% {note}" for note in (*NOTES, *(f"{r.name}: {r.source}" for r in published())))
    return f"{text}\n{notes}"


def _line(row: Row) -> list[str]:
    cells = {name: _points(getattr(row, name), row.spread.get(name)) for name in FIGURES}
    spiking = cells["spiking"] + _ends(row)
    seeds = ", ".join(DASH if seed is None else str(seed) for seed in row.seeds) or DASH
    k, intermediate = (DASH if number is None else str(number) for number in (row.k, row.intermediate))
    events = DASH if row.events_per_token is None else f"{row.events_per_token:.0f}"
    target = "by price" if row.price else "quiet" if row.quiet_target else None
    blocks = f"{len(row.blocks)} blocks" if row.blocks else None
    weights = None if row.weights == USUAL_WEIGHTS else row.weights
    task = ", ".join(filter(None, [row.task, row.model, target, blocks, weights]))
    return [task, row.metric.replace("_", " "), cells["teacher"], cells["quantized"], k, intermediate,
            spiking, cells["silent_share"], cells["quiet_share"], events, cells["drop"], seeds]  # fmt: skip


def _ends(row: Row) -> str:
    return "" if row.low is None or row.high is None else f" ({100 * row.low:.1f} – {100 * row.high:.1f})"


def _mean_line(mean: Mean) -> list[str]:
    share = f"{len(mean.tasks)} of {len(mean.tasks) + len(mean.missing)}"
    name = f"{mean.name}, {mean.backbone}" if mean.backbone else mean.name
    return [name, share, *[_points(getattr(mean, name)) for name in FIGURES]]


def _own_line(mean: Mean, rows: Sequence[Row]) -> list[str]:
    """Return our spiking results on the rivals' tasks. Mean and drop are included only if no task is missing."""
    own = standing(rows)[mean.backbone]
    cells = [_points(own[task].spiking if task in own else None) for task in RIVAL_TASKS]
    whole = [_points(value if not mean.missing else None) for value in (mean.spiking, mean.drop)]
    return [f"ours, {mean.backbone or 'unknown backbone'}", *cells, *whole]


def _rival_line(rival: Published) -> list[str]:
    cells = []
    for name in (*RIVAL_TASKS, "mean", "drop"):
        figure = rival.figure(name)
        doubt = UNCONFIRMED if figure["value"] is not None and not figure["confirmed"] else ""
        cells.append(_points(figure["value"]) + doubt)
    return [rival.name if rival.backbone == USUAL_RIVAL else f"{rival.name}, {rival.backbone}", *cells]


def _points(share: float | None, spread: float | None = None) -> str:
    if share is None:
        return DASH
    return f"{100 * share:.2f}" + (f" ± {100 * spread:.2f}" if spread is not None else "")
