"""``matterhorn bench``: how fast, against whom."""

from __future__ import annotations

import json as json_module
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from .app import Json, app, print_json


@app.command()
def bench(
    model: Annotated[str, typer.Option(help="A shipped model's name or a folder.")] = "sst2",
    quick: Annotated[bool, typer.Option("--quick", help="The whole model and one layer, within a minute.")] = False,
    threads: Annotated[list[int] | None, typer.Option(help="Thread counts (default: 1 and all).")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the rows here (.json).")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw time against silent share into this picture.")] = None,
    json: Json = False,
) -> None:
    """Time our engines, Hugging Face, PyTorch int8 and time-stepped peers in turn: medians and ratios of one run."""
    from ..bench import as_json, full_plan, quick_plan, run_plan
    from ..bench.machine import this_machine
    from ..zoo import find

    counts = threads or sorted({1, os.cpu_count() or 1})
    machine = this_machine()
    plan = quick_plan() if quick else full_plan()
    rows = run_plan(plan, find(model), counts, lambda text: typer.echo(text, err=True))
    answer = as_json(machine, counts, rows)
    if output:
        output.write_text(json_module.dumps(answer, indent=1) + "\n", encoding="utf-8")
    if plot:
        from ..report.bench_plot import plot_silence

        plot_silence(answer["rows"], plot)
    print_json(answer) if json else _print(answer)


def _print(answer: dict[str, Any]) -> None:
    from ..report.bench_table import tables
    from ..report.tables import print_table

    for title, columns, rows in tables(answer["rows"]):
        print_table(title, columns, rows)
