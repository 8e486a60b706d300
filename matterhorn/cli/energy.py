"""``matterhorn energy``, ``compare`` and ``chips``: what a network costs, and on which chip."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .app import Json, app, given, print_json
from .extras import need
from .rows import GlueDir, Limit, MaxLength, Split

if TYPE_CHECKING:
    from ..program.trace import Trace

DEFAULT_MODEL = "sst2"
CHIPS_FORMAT = 2
"""Of the document that ``matterhorn chips --json`` prints; 2: chips under a key of their own."""

ModelName = Annotated[str | None, typer.Option("--model", help="A shipped model or a program's folder [sst2].")]
TaskName = Annotated[str | None, typer.Option("--task", help="The task whose data ran (default: the model's own).")]
ChipName = Annotated[str, typer.Option("--chip", help="A shipped chip or a YAML file; see 'matterhorn chips'.")]
TraceFile = Annotated[Path | None, typer.Option("--trace", help="A trace that was saved before (.json.gz).")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help='Change a number: noc.hop.energy="1 pJ".')]
Tokens = Annotated[int, typer.Option(min=2, max=4096, help="Tokens of the BERT-base sentence of codes and rivals.")]


def obtain_trace(model: str | None, file: Path | None, rows: Mapping[str, Any], chosen: Collection[str]) -> Trace:
    """The trace in a file, the one beside a program where no rows are chosen, or a new one.

    Args:
        rows: arguments of :func:`.rows.load_rows` beside the model. chosen: those of them that the user gave.

    Raises:
        InputError: there is none, it is empty, or it is of another program than the given model.
    """
    from ..program import Trace, files

    if file is None:
        folder = files.find(model or DEFAULT_MODEL)
        beside = folder / "trace.json.gz"
        others = set(chosen) - ({"task"} if rows.get("task") == folder.name else set())
        if others or not beside.is_file():
            return record_trace(str(folder), rows)
        model, file = str(folder), beside
    elif set(chosen) - {"task"}:
        raise InputError("a trace has its own rows", file=file, field="--trace", cure="give a trace, or rows")
    found = Trace.load(file)
    if not found.sequences or not found.connections:
        raise InputError("an empty trace", file=file, field="trace", cure="run at least one sentence")
    if model is not None and found.program != files.load(model).hash:
        problem = f"the trace of another program than {model}"
        raise InputError(problem, file=file, field="trace", cure="record it anew, or give it without --model")
    return found


def record_trace(model: str, rows: Mapping[str, Any]) -> Trace:
    """Run a program over rows, which need no labels."""
    from ..tasks.evaluate import predict
    from .rows import load_rows, tracked

    program, tokens, _ = load_rows(model, **rows)
    return predict(program, tokens, progress=tracked("trace")).trace


@app.command()
def energy(
    context: typer.Context,
    model: ModelName = None,
    task: TaskName = None,
    chip: ChipName = "rram-22nm",
    trace: TraceFile = None,
    glue_dir: GlueDir = None,
    split: Split = "dev",
    limit: Limit = None,
    max_length: MaxLength = 128,
    html: Annotated[Path | None, typer.Option("--html", help="Write one self-contained page.")] = None,
    tokens: Tokens = 128,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """The bill of a network that ran, line by line, and what it would cost otherwise.

    A --trace says what ran; or rows are named and run now; with neither, it is the trace that lies beside the model, or
    else a new one of its task's dev rows.
    """
    from ..energy import energy_answer, load

    if html is not None:
        need("plot", "plotly")
    hardware = load(chip, overrides or ())
    rows = {"task": task, "split": split, "glue_dir": glue_dir, "max_length": max_length, "limit": limit}
    ran = obtain_trace(model, trace, rows, given(context, *rows))
    name = model or (trace.name.removesuffix(".json.gz") if trace else DEFAULT_MODEL)
    answer = energy_answer(ran, hardware, model=name, task=task or name, length=tokens)
    if html is not None:
        from ..report.energy_page import write_page

        write_page(html, answer, ran, hardware)
        typer.echo(f"page: {html}", err=True)
    if as_json:
        print_json(answer)
    else:
        from ..report.energy_table import print_energy

        print_energy(answer)


@app.command()
def compare(
    context: typer.Context,
    models: Annotated[list[str] | None, typer.Option("--model", help="Models; give several.")] = None,
    traces: Annotated[list[Path] | None, typer.Option("--trace", help="Traces; give several.")] = None,
    chips: Annotated[list[str] | None, typer.Option("--chip", help="Chips; give several (default: all).")] = None,
    task: TaskName = None,
    glue_dir: GlueDir = None,
    split: Split = "dev",
    limit: Limit = None,
    max_length: MaxLength = 128,
    as_json: Json = False,
) -> None:
    """Networks × chips: energy per sentence of each network's own code, and of a dense one beside it."""
    from ..energy import load, shipped
    from ..energy.study import COMPARISON_FORMAT, compare_on
    from ..report.energy_table import print_comparison

    hardware = [load(name) for name in chips or shipped()]
    rows = {"task": task, "split": split, "glue_dir": glue_dir, "max_length": max_length, "limit": limit}
    chosen = given(context, *rows)
    ran = {name: obtain_trace(name, None, rows, chosen) for name in models or ([] if traces else [DEFAULT_MODEL])}
    ran |= {path.name.removesuffix(".json.gz"): obtain_trace(None, path, rows, ()) for path in traces or []}
    found = [row for chip in hardware for row in compare_on(ran, chip)]
    if as_json:
        print_json({"format": COMPARISON_FORMAT, "rows": found})
    else:
        print_comparison(found)


@app.command("chips")
def list_chips(
    name: Annotated[str | None, typer.Argument(help="A chip to explain, number by number.")] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """List the chips, or explain one: every number with unit and source."""
    from ..energy import load, shipped
    from ..report.energy_table import print_chip, print_chips

    chips = [load(name, overrides or ())] if name else [load(known) for known in shipped()]
    if as_json:
        print_json({"format": CHIPS_FORMAT, "chips": {c.name: c.model_dump(exclude_none=True) for c in chips}})
    elif name:
        print_chip(chips[0])
    else:
        print_chips(chips)
