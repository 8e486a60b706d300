"""``matterhorn bench``: measure speed, and compare it with other packages."""

from __future__ import annotations

import json as json_module
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from ..extras import need
from ..reading import read_mapping, validated
from .app import PICTURES, Json, ModelName, app, print_json

PLOTTED = "connection"
"""The part whose rows ``--plot`` draws."""


@app.command()
def bench(
    model: ModelName = "sst2",
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure only the whole model and one layer, in a few minutes.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Measure only this part (network, layer, start-up, …); repeatable.")
    ] = None,
    threads: Annotated[
        list[int] | None, typer.Option(min=1, help="Number of threads; repeatable (default: 1 and all).")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write the results to this file (.json), row by row.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Plot time against silent share to this image file.")] = None,
    tables: Annotated[Path | None, typer.Option(help="Measure nothing; show a file that --output wrote.")] = None,
    json: Json = False,
) -> None:
    """Time our backends, ONNX Runtime, OpenVINO, Hugging Face, PyTorch and SpikingJelly.

    They take turns, so that ratios are between times of the same run.
    """
    from ..storage import check_file

    if plot:
        need("plot", "matplotlib")
        check_file(plot, "--plot", tables, ends=PICTURES)
    if output:
        check_file(output, "--output", tables, ends=(".json",))
    if tables is None:
        need("bench", "torch", "transformers")
        if plot and PLOTTED not in (only or (PLOTTED,)):
            raise InputError(f"only the part {PLOTTED!r} is drawn", field="--plot", cure="measure it, or drop --plot")
        answer = _measured(quick, only, model, threads or sorted({1, os.cpu_count() or 1}), output)
    else:
        answer = _read(tables)
        if plot and not any(row["what"] == PLOTTED for row in answer["rows"]):
            cure = "give a file that has some, or drop --plot"
            raise InputError(f"no rows of the part {PLOTTED!r}, which is drawn", file=tables, field="--plot", cure=cure)
    if plot:
        from ..report.bench import plot_silence

        plot_silence(answer["rows"], plot)
    print_json(answer) if json else _print(answer)


def _measured(
    quick: bool, only: list[str] | None, model: str, threads: list[int], output: Path | None
) -> dict[str, Any]:
    """Run a plan. The output file is complete after every row."""
    from ..bench import FULL, PARTS, QUICK, Row, as_json, run_plan
    from ..bench.deployed import SETTINGS
    from ..program import load
    from ..storage import put_file

    plan = QUICK if quick else FULL
    for part in only or ():
        if part not in PARTS:
            raise InputError(f"no part {part!r}", field="only", cure=f"choose from {', '.join(PARTS)}")
    program, rows = load(model).hash, list[Row]()
    for row in run_plan(
        replace(plan, parts=only or plan.parts), model, threads, lambda text: typer.echo(text, err=True)
    ):
        rows.append(row)
        if output:
            put_file(output, json_module.dumps(as_json(program, threads, rows, SETTINGS), indent=1) + "\n")
    return as_json(program, threads, rows, SETTINGS)


def _read(path: Path) -> dict[str, Any]:
    """Read a file that ``--output`` wrote."""
    from ..bench import BENCH_FORMAT, Row

    cure = "give what matterhorn bench --output wrote"
    answer = read_mapping(path, cure)
    if answer.get("format") != BENCH_FORMAT:
        raise InputError(f"format {answer.get('format')}, not {BENCH_FORMAT}", file=path, field="format", cure=cure)
    rows = validated(list[Row], answer.get("rows"), path, cure)
    return answer | {"rows": [vars(row) for row in rows]}


def _print(answer: dict[str, Any]) -> None:
    from ..report.bench import tables
    from ..report.tables import print_table

    for title, columns, rows in tables(answer["rows"]):
        print_table(title, columns, rows)
