"""A device study in the terminal, and as a page that embeds the JSON answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..storage import put_file
from .page_file import fill_page
from .tables import percent, print_line, print_table


def shown(needed: dict[str, Any], points: list[dict[str, Any]], unit: str) -> str:
    """Describe in words what a study found to be needed of a property."""
    falling = len(points) > 1 and points[-1]["value"] < points[0]["value"]
    bound = "at least" if falling else "at most"
    unit = "" if unit == "1" else f" {unit}"
    if needed["value"] is None:
        return f"less harm than {points[0]['value']:g}{unit}, the mildest tried"
    if needed["how"] == "beyond":
        return f"{points[-1]['value']:g}{unit}, the harshest tried, still costs less"
    return f"{bound} {needed['value']:.3g}{unit} (interpolated)"


def caveat(answer: dict[str, Any]) -> str:
    """Return a warning if there are too few rows for a reliable answer, else an empty string."""
    row = 1 / answer["n"]
    if row <= answer["allowed_loss"] / 2:
        return ""
    worth = f"One of {answer['n']} rows is worth {100 * row:.2g} points"
    return f"{worth}, too coarse for a loss of one point: what is needed cannot be told. Take more rows."


def print_study(answer: dict[str, Any]) -> None:
    """Print the scores by property and value, and then what is needed of each property."""
    print_line(
        (answer["model"], "bold"),
        f" on {answer['n']} rows of {answer.get('data') or answer['task']}, {answer['chips']} chips: "
        f"{answer['metric']} {percent(answer['clean'])} without any chip",
    )
    for study in answer["studies"].values():
        title = study["title"] + ("" if study["unit"] == "1" else f", {study['unit']}")
        print_table(title, ("value", "mean", "spread", "worst", "yield"), [_row(point) for point in study["points"]])
    rows = [(s["title"], shown(s["needed"], s["points"], s["unit"])) for s in answer["studies"].values()]
    print_table("The device you need: each alone costs less than one point", ("property", "needed"), rows)
    print_line("· yield: share of chips within one point of the score without a chip; spread: one standard deviation.")
    if caveat(answer):
        print_line((f"· {caveat(answer)}", "bold"))


def _row(point: dict[str, Any]) -> list[str]:
    shares = [percent(point[key]) for key in ("mean", "spread", "worst")]
    return [f"{point['value']:g}", *shares, f"{point['yield']:.0%}"]


def write_study_page(path: Path, answer: dict[str, Any]) -> None:
    """Write the page of an answer of ``matterhorn msu study``."""
    words = {name: shown(s["needed"], s["points"], s["unit"]) for name, s in answer["studies"].items()}
    data = {"answer": answer, "needed": words, "caveat": caveat(answer)}
    put_file(path, fill_page("study", f"{answer['model']} on memristors", data))
