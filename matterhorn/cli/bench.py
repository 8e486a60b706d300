"""``matterhorn bench``: how fast, against whom."""

from __future__ import annotations

import json as json_module
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from .app import Json, app, print_json


@app.command()
def bench(
    model: Annotated[str, typer.Option(help="A shipped model's name or a folder.")] = "sst2",
    quick: Annotated[bool, typer.Option("--quick", help="The whole model and one layer, within a minute.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Only this part (network, layer, start-up …).")] = None,
    threads: Annotated[list[int] | None, typer.Option(help="Thread counts (default: 1 and all).")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the rows here (.json), as they come.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw time against silent share into this picture.")] = None,
    tables: Annotated[Path | None, typer.Option(help="Measure nothing: show this file's rows as Markdown.")] = None,
    into: Annotated[Path | None, typer.Option(help="With --tables: between this page's marks, not on screen.")] = None,
    json: Json = False,
) -> None:
    """Time our engines, Hugging Face, PyTorch int8 and time-stepped peers in turn: medians and ratios of one run."""
    if tables:
        return _show(tables, into, plot)
    from ..bench import as_json, full_plan, quick_plan, run_plan
    from ..bench.machine import this_machine
    from ..zoo import find

    counts = threads or sorted({1, os.cpu_count() or 1})
    plan = quick_plan() if quick else full_plan()
    plan = plan.only(only) if only else plan
    machine, rows = this_machine(), []
    for row in run_plan(plan, find(model), counts, lambda text: typer.echo(text, err=True)):
        rows.append(row)
        if output:
            _write(as_json(machine, counts, rows), output)
    answer = as_json(machine, counts, rows)
    if plot:
        from ..report.bench_plot import plot_silence

        plot_silence(answer["rows"], plot)
    print_json(answer) if json else _print(answer)


def _write(answer: dict[str, Any], path: Path) -> None:
    """Replace the file by one that is whole."""
    fresh = path.with_name(path.name + ".tmp")
    fresh.write_text(json_module.dumps(answer, indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)


def _show(measured: Path, page: Path | None, plot: Path | None) -> None:
    """Tables and plot of a run that was kept."""
    from ..report.bench_table import insert, page_of

    try:
        answer = json_module.loads(measured.read_text(encoding="utf-8"))
        text = page_of(answer)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(str(error), file=measured, cure="give what matterhorn bench --output wrote") from error
    if plot:
        from ..report.bench_plot import plot_silence

        plot_silence(answer["rows"], plot)
    if page:
        page.write_text(insert(text, page.read_text(encoding="utf-8"), page), encoding="utf-8")
    else:
        typer.echo(text)


def _print(answer: dict[str, Any]) -> None:
    from ..report.bench_table import tables
    from ..report.tables import print_table

    for title, columns, rows in tables(answer["rows"]):
        print_table(title, columns, rows)
