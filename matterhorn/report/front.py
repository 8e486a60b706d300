"""Accuracy against energy: networks, the same levels in other codes, and published rivals, on one pair of axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..energy.chip import Chip
from ..energy.rivals import Comparison, rivals
from ..energy.shapes import PAPER_LENGTH
from ..energy.study import own_name
from ..program.trace import Trace
from ..tasks.results import Result
from .glue_rows import published
from .picture import save_picture

FRONT_FORMAT = 1
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
    """Points of networks of one task, of the same levels as dense words, and of the rivals that published the task.

    Each is billed on the arrays of the chip that are cheaper for it. Returns them by joules, the front marked.
    """
    points, comparison, task = list[Point](), None, ""
    for name, (trace, result) in networks.items():
        comparison, task = Comparison.of(trace, chip, PAPER_LENGTH), result.title
        points += _own(name, trace, result, comparison, chip)
    if comparison is not None:
        points += _published(comparison, chip, task)
    points.sort(key=lambda point: (point.joules, -point.value))
    best, marked = float("-inf"), []
    for point in points:
        marked.append(replace(point, on_front=point.value > best))
        best = max(best, point.value)
    return marked


def _own(name: str, trace: Trace, result: Result, comparison: Comparison, chip: Chip) -> list[Point]:
    scores = result.spiking[-1]
    value = scores.metrics[result.metric]
    about: dict[str, Any] = {"low": scores.low, "high": scores.high}
    if result.teacher is not None:
        about["drop"] = result.teacher.metrics[result.metric] - value
    shares: dict[str, Any] = {"silent_share": trace.silent_share, "quiet_share": trace.quiet_share}
    spikes, arrays = _cheapest({kind: bill.total for kind, bill in comparison.own.bills(chip).items()})
    words, where = _cheapest(comparison.dense.dense_j(chip))
    return [
        Point(f"{name} ({own_name(trace)})", "spiking", value, spikes, arrays, True, **shares, **about),
        Point(f"{name} (dense words)", "dense", value, words, where, False, **about),
    ]


def _published(comparison: Comparison, chip: Chip, task: str) -> list[Point]:
    scores, known = {row.name: row.figure(task)["value"] for row in published()}, {r.name: r for r in rivals()}
    points = []
    for name, bills in comparison.rival_bills(chip).items():
        value, share = scores.get(known[name].listed_as or name), known[name].silent_share
        if value is not None:
            joules, arrays = _cheapest({kind: bill.total for kind, bill in bills.items()})
            points.append(Point(name, "rival", value, joules, arrays, False, silent_share=share, quiet_share=share))
    return points


def _cheapest(joules: Mapping[str, float]) -> tuple[float, str]:
    """The least, and on which arrays."""
    kind = min(joules, key=lambda kind: joules[kind])
    return joules[kind], kind


def plot_front(points: list[Point], title: str, path: Path) -> None:
    """Draw the points: filled where trained, hollow elsewhere; the front as a line.

    Args:
        path: picture to write (its ending says which kind).
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    colors = {"spiking": "#2f6f9f", "dense": "#edae49", "rival": "#d1495b"}
    figure, axis = plt.subplots(figsize=(8, 5), layout="constrained")
    for point in points:
        color, x = colors[point.kind], 1e6 * point.joules
        if point.low is not None and point.high is not None and point.trained:
            axis.vlines(x, point.low, point.high, color=color, alpha=0.5)
        axis.plot(x, point.value, "o", color=color, fillstyle="full" if point.trained else "none")
        place = (5, -11) if point.kind == "dense" else (5, 4)
        axis.annotate(point.name, (x, point.value), place, textcoords="offset points", fontsize=8)
    line = [point for point in points if point.on_front]
    axis.step([1e6 * p.joules for p in line], [p.value for p in line], where="post", color="#30343f", lw=0.8, zorder=0)
    axis.set(xscale="log", xlabel=f"µJ a sentence of {PAPER_LENGTH} tokens, BERT-base's shape", ylabel="metric")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("")
    axis.set_title(f"{title} (filled: trained so; hollow: sent otherwise, or published)", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    save_picture(figure, path)
