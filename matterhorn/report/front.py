"""Accuracy versus energy: networks, dense versions of the same models, and published rivals in one plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..energy.activity import recode
from ..energy.chip import Chip
from ..energy.codings import CODINGS
from ..energy.foreign import dense_words
from ..energy.rivals import Comparison, Side, rivals
from ..energy.shapes import PAPER_LENGTH, SHAPES, lay
from ..program.trace import Trace
from ..tasks.results import Result, Scores
from ..topology import DYNAMIC
from .glue_rows import published
from .picture import save_picture

FRONT_FORMAT = 2
"""Version of the document that ``matterhorn pareto --json`` prints. Version 2 added dense versions, some without a
value.
"""

DENSE = {"W1A4": (1, 4, 1), "W4A4": (4, 4, 4), "int8": (8, 8, 8)}
"""Dense versions of every model: bits of weights, of levels, and of keys and values."""

LEGEND = "filled: trained so; hollow: sent otherwise, or published; ?: not known, drawn at its teacher's"


@dataclass(frozen=True)
class Point:
    """A network on a chip.

    Attributes:
        name: name of the network.
        kind: "spiking", "dense" or "rival".
        value: its task's metric on the development rows. None: unknown.
        joules: energy of a sentence of :data:`PAPER_LENGTH` tokens on the BERT-base shape, in J.
        hardware: arrays of the chip on which this is least.
        drawn_at: where it is drawn: the value, or for a dense version with an unknown value, its teacher's.
        low, high: 95 % interval of the value, if known.
        drop: by how much the value is below the teacher's, if known.
        silent_share, quiet_share: shares of the spiking network, if known.
        trained: whether it was trained at its own dead zone and width, and its value was measured. If not, its levels
            are only sent in another way, its value is unknown, or its spike rate was published or deduced.
        on_front: whether no other point is known to have at least its value for fewer joules.
    """

    name: str
    kind: str
    value: float | None
    joules: float
    hardware: str
    trained: bool
    drawn_at: float | None
    low: float | None = None
    high: float | None = None
    drop: float | None = None
    silent_share: float | None = None
    quiet_share: float | None = None
    on_front: bool = False


def front(networks: Mapping[str, tuple[Trace, Result]], chip: Chip) -> list[Point]:
    """Return the points of networks of one task, of dense versions of the same models, and of rivals with this task.

    Each is billed on its cheaper arrays of the chip. A network with only some of its teacher's blocks has as large a
    share of BERT-base's. Rivals are compared with the first network, and are of its task
    (:attr:`~matterhorn.tasks.results.Result.title`). Points are sorted by joules, with the front marked.
    """
    points = list[Point]()
    for name, (trace, result) in networks.items():
        comparison = Comparison.of(trace, chip, PAPER_LENGTH, teacher_blocks(result))
        beside = [] if points else _published(comparison, chip, result.title)
        points += [_own(name, trace, result, comparison, chip), *_dense(name, trace, result, comparison, chip)]
        points += beside
    points.sort(key=lambda point: (point.joules, -(point.drawn_at or 0.0)))
    best, marked = float("-inf"), []
    for point in points:
        better = point.value is not None and point.value > best
        marked.append(replace(point, on_front=better))
        best = point.value if better and point.value is not None else best
    return marked


def teacher_blocks(result: Result) -> int | None:
    """Return the number of blocks of a network's teacher, if the network has only some of them and the number is known,
    else None.
    """
    if not result.blocks or result.teacher_blocks:
        return result.teacher_blocks
    shape = SHAPES.get(result.backbone or "")
    return shape.layers if shape else None


def _own(name: str, trace: Trace, result: Result, comparison: Comparison, chip: Chip) -> Point:
    joules, arrays = _cheapest({kind: bill.total for kind, bill in comparison.own.bills(chip).items()})
    point = Point(f"{name}, k = {result.spiking[-1].k}", "spiking", None, joules, arrays, True, None)
    return replace(
        _scored(point, result, result.spiking[-1]), silent_share=trace.silent_share, quiet_share=trace.quiet_share
    )


def _dense(name: str, trace: Trace, result: Result, comparison: Comparison, chip: Chip) -> Iterator[Point]:
    """Return dense versions of a network's model.

    In the network's own formats, it is the network without a dead zone, as wide as its teacher, if one was measured.
    Otherwise it is the network's own levels sent as words, which have the same value. The values of other formats were
    not measured. All have as many blocks as the network.
    """
    as_narrow = replace(comparison.own.trace.shape, intermediate=SHAPES["bert-base"].intermediate)
    usual = lay(trace, as_narrow, PAPER_LENGTH)
    measured, own = result.quantized, own_formats(trace)
    side = Side.of(recode(usual, CODINGS[0]), usual, chip) if measured else comparison.dense
    point = Point(f"{name}, dense {own}", "dense", None, *_cheapest(side.dense_j(chip)), measured is not None, None)
    yield _scored(point, result, measured or result.spiking[-1])
    assumed = None if result.teacher is None else result.teacher.metrics[result.metric]
    for formats, bits in DENSE.items():
        if formats != own:
            words = Side.of(dense_words(usual.shape, PAPER_LENGTH, *bits), usual, chip)
            joules, arrays = _cheapest(words.dense_j(chip))
            yield Point(f"{name}, dense {formats}", "dense", None, joules, arrays, False, assumed)


def _scored(point: Point, result: Result, scores: Scores) -> Point:
    """Return a point with the value, interval and drop of some scores."""
    value = scores.metrics[result.metric]
    drop = None if result.teacher is None else result.teacher.metrics[result.metric] - value
    return replace(point, value=value, drawn_at=value, low=scores.low, high=scores.high, drop=drop)


def own_formats(trace: Trace) -> str:
    """Format the widths of a network's weights and levels, e.g. ``W1A4``."""
    static = next(c for c in trace.connections.values() if c.connection not in DYNAMIC)
    weights = "ternary " if 0 < static.digits < static.operand_bits else f"W{static.operand_bits}"
    return f"{weights}A{static.level_bits}"


def _published(comparison: Comparison, chip: Chip, task: str) -> list[Point]:
    scores, known = {row.name: row.figure(task)["value"] for row in published()}, {r.name: r for r in rivals()}
    points = []
    for name, bills in comparison.rival_bills(chip).items():
        value, share = scores.get(known[name].listed_as or name), known[name].silent_share
        if value is not None:
            joules, arrays = _cheapest({kind: bill.total for kind, bill in bills.items()})
            point = Point(name, "rival", value, joules, arrays, False, value)
            points.append(replace(point, silent_share=share, quiet_share=share))
    return points


def _cheapest(joules: Mapping[str, float]) -> tuple[float, str]:
    """Return the least energy, and the arrays that take it."""
    kind = min(joules, key=lambda kind: joules[kind])
    return joules[kind], kind


def plot_front(points: list[Point], title: str, metric: str, path: Path) -> None:
    """Plot the points, filled if trained, else hollow, with the front as a line.

    Points with unknown values are drawn at their teacher's value with a question mark, or not at all.

    Args:
        metric: name of the values.
        path: image file; its ending determines the format.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    colors = {"spiking": "#2f6f9f", "dense": "#edae49", "rival": "#d1495b"}
    figure, axis = plt.subplots(figsize=(9, 6), layout="constrained")
    for point in points:
        if point.drawn_at is None:
            continue
        color, x = colors[point.kind], 1e6 * point.joules
        if point.low is not None and point.high is not None and point.trained:
            axis.vlines(x, point.low, point.high, color=color, alpha=0.5)
        axis.plot(x, point.drawn_at, "o", color=color, fillstyle="full" if point.trained else "none")
    line = [(1e6 * point.joules, point.drawn_at) for point in points if point.on_front]
    axis.step(*zip(*line, strict=True), where="post", color="#30343f", lw=0.8, zorder=0)
    axis.set(
        xscale="log",
        xlabel=f"µJ a sentence of {PAPER_LENGTH} tokens, BERT-base's shape",
        ylabel=f"{metric}, development rows",
    )
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("")
    axis.set_title(f"{title} ({LEGEND})", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    _label(axis, points)
    save_picture(figure, path)


PLACES = ((5, 4, "left"), (5, -11, "left"), (5, -22, "left"), (5, 15, "left"), (-5, 4, "right"), (-5, -11, "right"))
"""Offsets of a name from its point, and which end of the name is there. The first place without overlap is taken."""


def _label(axis: Any, points: list[Point]) -> None:
    """Write the names of points next to them, with as little overlap as possible."""
    axis.figure.canvas.draw()
    taken = list[Any]()
    for point in points:
        if point.drawn_at is None:
            continue
        name = point.name if point.value is not None else f"{point.name} ?"
        at = 1e6 * point.joules, point.drawn_at
        for x, y, end in PLACES:
            text = axis.annotate(name, at, (x, y), textcoords="offset points", fontsize=8, ha=end)
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken) or (x, y, end) == PLACES[-1]:
                break
            text.remove()
        taken.append(box)
