"""Accuracy against energy: networks, the same levels in other codes, and published rivals, on one pair of axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..energy.chip import Chip
from ..energy.mapping import hardware_of
from ..energy.rivals import bill_rivals
from ..energy.shapes import PAPER_LENGTH, SHAPES, as_wide, lay
from ..energy.study import bill, encodings, own_name
from ..program.trace import Trace
from ..storage import put_file
from ..tasks.results import Result
from .glue_rows import published

FORMAT = 1
"""Of the document that ``matterhorn pareto --json`` prints."""


@dataclass(frozen=True)
class Point:
    """A network on a chip.

    Attributes:
        value: its task's metric on the development rows. low, high: 95 % interval, where it is known.
        drop: what its teacher had more, where that is known.
        joules: of a sentence of :data:`PAPER_LENGTH` tokens on BERT-base's shape.
        trained: it was trained at its own code and width; else its levels are only sent otherwise, or its spike rate
            was published or deduced.
        on_front: no other point has at least its value for fewer joules.
    """

    name: str
    kind: str
    value: float
    joules: float
    hardware: str
    trained: bool
    low: float | None = None
    high: float | None = None
    drop: float | None = None
    silent_share: float | None = None
    quiet_share: float | None = None
    on_front: bool = False


def front(networks: Mapping[str, tuple[Trace, Result]], chip: Chip) -> list[Point]:
    """Points of networks of one task, of their own levels in dense words, and of the rivals that published the task.

    Each is billed on the arrays of the chip that are cheaper for it. Returns them by joules, the front marked.
    """
    points: list[Point] = []
    for name, (trace, result) in networks.items():
        points += _own(name, trace, result, chip)
    trace, result = next(iter(networks.values()))
    scores = {row.name: row.figure(result.task)["value"] for row in published()}
    for entry in bill_rivals(trace, chip, PAPER_LENGTH):
        value = scores.get(entry.rival.name)
        if value is not None:
            share = entry.rival.silent_share
            about: dict[str, Any] = {"silent_share": share, "quiet_share": share, "trained": False}
            points.append(Point(entry.rival.name, "rival", value, entry.own.total, entry.own.hardware, **about))
    points.sort(key=lambda point: (point.joules, -point.value))
    best, marked = float("-inf"), []
    for point in points:
        marked.append(Point(**(asdict(point) | {"on_front": point.value > best})))
        best = max(best, point.value)
    return marked


def _own(name: str, trace: Trace, result: Result, chip: Chip) -> list[Point]:
    laid = lay(trace, as_wide(SHAPES["bert-base"], trace), PAPER_LENGTH)
    scores = result.spiking[-1]
    value = scores.metrics[result.metric]
    about: dict[str, Any] = {"low": scores.low, "high": scores.high}
    if result.teacher is not None:
        about["drop"] = result.teacher.metrics[result.metric] - value
    bills = {hardware: bill(laid, chip, hardware).total for hardware in hardware_of(chip)}
    cheapest = min(bills, key=lambda hardware: bills[hardware])
    shares: dict[str, Any] = {"silent_share": trace.silent_share, "quiet_share": trace.quiet_share}
    dense = min((e for e in encodings(laid, chip) if e["code"] == "dense"), key=lambda e: e["total_j"])
    spiking = Point(f"{name} ({own_name(trace)})", "spiking", value, bills[cheapest], cheapest, True, **shares, **about)
    words = Point(f"{name} (dense words)", "dense", value, dense["total_j"], dense["hardware"], False, **about)
    return [spiking, words]


def plot_front(points: list[Point], title: str, path: Path) -> None:
    """Draw the points: filled where trained, hollow elsewhere; the front as a line.

    Args:
        path: picture to write (its ending says which kind).
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colors = {"spiking": "#2f6f9f", "dense": "#edae49", "rival": "#d1495b"}
    figure, axis = plt.subplots(figsize=(8, 5), layout="constrained")
    for point in points:
        color, x = colors[point.kind], 1e6 * point.joules
        if point.low is not None and point.high is not None and point.trained:
            axis.vlines(x, point.low, point.high, color=color, alpha=0.5)
        axis.plot(x, point.value, "o", color=color, fillstyle="full" if point.trained else "none")
        axis.annotate(point.name, (x, point.value), (5, 4), textcoords="offset points", fontsize=8)
    line = [point for point in points if point.on_front]
    axis.step([1e6 * p.joules for p in line], [p.value for p in line], where="post", color="#30343f", lw=0.8, zorder=0)
    axis.set(xscale="log", xlabel=f"µJ a sentence of {PAPER_LENGTH} tokens, BERT-base's shape", ylabel="metric")
    axis.set_title(f"{title} (filled: trained so; hollow: sent otherwise, or published)", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    put_file(path, lambda fresh: figure.savefig(fresh, dpi=110))
    plt.close(figure)
