"""Time of a connection against silent share."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def plot_silence(rows: list[dict[str, Any]], path: Path) -> None:
    """One line for each engine, one panel for each shape of connection, on one thread."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    own = [row for row in rows if row["what"] == "connection" and row["threads"] == 1]
    shapes = list(dict.fromkeys(tuple(row["shape"].items()) for row in own))
    figure, panels = pyplot.subplots(1, max(1, len(shapes)), figsize=(3 * max(1, len(shapes)), 3), squeeze=False)
    for panel, shape in zip(panels[0], shapes, strict=False):
        here = [row for row in own if tuple(row["shape"].items()) == shape]
        for engine in dict.fromkeys(row["engine"] for row in here):
            points = [(100 * row["silent_share"], 1e3 * row["median_s"]) for row in here if row["engine"] == engine]
            panel.plot(*zip(*points, strict=True), marker="o", label=engine)
        panel.set(title=", ".join(f"{k} {v}" for k, v in shape), xlabel="silent share, %", ylabel="ms", yscale="log")
        panel.title.set_fontsize(8)
    panels[0][0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
