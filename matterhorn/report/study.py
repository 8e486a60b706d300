"""A study in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from .tables import percent


def shown(needed: dict[str, Any], points: list[dict[str, Any]], unit: str) -> str:
    """What is needed, in words."""
    falling = len(points) > 1 and points[-1]["value"] < points[0]["value"]
    bound = "at least" if falling else "at most"
    unit = "" if unit == "1" else f" {unit}"
    if needed["value"] is None:
        return f"less harm than {points[0]['value']:g}{unit}, the mildest tried"
    if needed["how"] == "beyond":
        return f"{points[-1]['value']:g}{unit}, the harshest tried, still costs less"
    return f"{bound} {needed['value']:.3g}{unit} (interpolated)"


def caveat(answer: dict[str, Any]) -> str:
    """What too few rows make of the answer; empty where they are enough."""
    row = 1 / answer["n"]
    if row <= answer["allowed_loss"] / 2:
        return ""
    worth = f"One of {answer['n']} rows is worth {100 * row:.2g} points"
    return f"{worth}, and one point is looked for: what is needed cannot be told. Take more rows."


def print_study(answer: dict[str, Any]) -> None:
    """Scores by property and value, then the device you need."""
    console = Console()
    console.print(
        f"[bold]{answer['model']}[/bold] on {answer['n']} rows of {answer['task']}, {answer['chips']} chips: "
        f"{answer['metric']} {percent(answer['clean'])} without any chip"
    )
    for study in answer["studies"].values():
        unit = "" if study["unit"] == "1" else f", {study['unit']}"
        table = Table(title=f"{study['title']}{unit}", title_justify="left")
        for heading in ("value", "mean", "spread", "worst", "yield"):
            table.add_column(heading, justify="right")
        for p in study["points"]:
            shares = [percent(p[key]) for key in ("mean", "spread", "worst")]
            table.add_row(f"{p['value']:g}", *shares, f"{p['yield']:.0%}")
        console.print(table)
    table = Table(title="The device you need: each alone costs less than one point", title_justify="left")
    table.add_column("property", overflow="fold")
    table.add_column("needed", overflow="fold")
    for study in answer["studies"].values():
        table.add_row(study["title"], shown(study["needed"], study["points"], study["unit"]))
    console.print(table)
    console.print(
        "· yield: share of chips within one point of the score without a chip; spread: one standard deviation."
    )
    if caveat(answer):
        console.print(f"[bold]· {caveat(answer)}[/bold]")
