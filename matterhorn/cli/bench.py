"""``matterhorn bench``: how fast, against whom."""

from __future__ import annotations

import json as json_module
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .app import Json, ModelName, app, print_json
from .extras import need

if TYPE_CHECKING:
    from ..bench import Plan


@app.command()
def bench(
    model: ModelName = "sst2",
    quick: Annotated[bool, typer.Option("--quick", help="The whole model and one layer, within a minute.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Only this part (network, layer, start-up …).")] = None,
    threads: Annotated[list[int] | None, typer.Option(help="Thread counts (default: 1 and all).")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the rows here (.json), as they come.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw time against silent share into this picture.")] = None,
    tables: Annotated[Path | None, typer.Option(help="Measure nothing: show this file's rows as Markdown.")] = None,
    json: Json = False,
) -> None:
    """Time our backends, Hugging Face, PyTorch int8 and SpikingJelly in turn: medians and ratios of one run."""
    if plot:
        need("plot", "matplotlib")
    if tables is None:
        need("bench", "torch", "transformers")
        answer = _measured(_plan(quick, only), model, threads, output)
    else:
        answer = _read(tables)
    if plot:
        from ..report.bench import plot_silence

        plot_silence(answer["rows"], plot)
    print_json(answer) if json else _print(answer, markdown=tables is not None)


def _plan(quick: bool, only: list[str] | None) -> Plan:
    from ..bench import FULL, PARTS, QUICK

    plan = QUICK if quick else FULL
    for part in only or ():
        if part not in PARTS:
            raise InputError(f"no part {part!r}", field="only", cure=f"choose of {', '.join(PARTS)}")
    return replace(plan, parts=only or plan.parts)


def _measured(plan: Plan, model: str, threads: list[int] | None, output: Path | None) -> dict[str, Any]:
    """Run a plan; the file is whole after every row."""
    from ..bench import Row, as_json, run_plan
    from ..bench.machine import this_machine
    from ..program import load

    counts, rows = threads or sorted({1, os.cpu_count() or 1}), list[Row]()
    program, machine = load(model).hash, this_machine()
    for row in run_plan(plan, model, counts, lambda text: typer.echo(text, err=True)):
        rows.append(row)
        if output:
            fresh = output.with_name(output.name + ".tmp")
            document = json_module.dumps(as_json(machine, program, counts, rows), indent=1)
            fresh.write_text(document + "\n", encoding="utf-8")
            fresh.replace(output)
    return as_json(machine, program, counts, rows)


def _read(path: Path) -> dict[str, Any]:
    """What ``--output`` wrote."""
    from ..bench import FORMAT

    cure = "give what matterhorn bench --output wrote"
    try:
        answer: dict[str, Any] = json_module.loads(path.read_text(encoding="utf-8"))
        found = answer.get("format")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(str(error), file=path, cure=cure) from error
    if found != FORMAT:
        raise InputError(f"format {found}, not {FORMAT}", file=path, field="format", cure=cure)
    return answer


def _print(answer: dict[str, Any], *, markdown: bool) -> None:
    from ..report import bench as report
    from ..report.tables import print_table

    if markdown:
        typer.echo(report.page_of(answer))
    else:
        for title, columns, rows in report.tables(answer["rows"]):
            print_table(title, columns, rows)
