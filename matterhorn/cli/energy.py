"""``matterhorn energy``, ``compare`` and ``chips``: what a network costs, and on which chip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .app import Json, app, print_json

if TYPE_CHECKING:
    from ..trace import Trace

ModelName = Annotated[str, typer.Option("--model", help="A shipped model or a folder of a converted network.")]
TaskName = Annotated[str | None, typer.Option("--task", help="The task whose data ran (default: the model's own).")]
ChipName = Annotated[str, typer.Option("--chip", help="A shipped chip or a YAML file; see 'matterhorn chips'.")]
TraceFile = Annotated[Path | None, typer.Option("--trace", help="A trace that was saved before (.json.gz).")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help='Change a number: noc.hop.energy="1 pJ".')]
Tokens = Annotated[int, typer.Option(min=2, max=4096, help="Tokens of the BERT-base sentence of codes and rivals.")]


def obtain_trace(model: str, task: str | None, trace: Path | None) -> Trace:
    """The trace in a file, the one beside a model's checkpoint, or a new one of the task's dev rows."""
    if trace is not None:
        return load_trace(trace)
    from ..zoo import find

    folder = find(model)
    beside = folder / ("trace.json.gz" if task in (None, folder.name) else f"trace-{task}.json.gz")
    return load_trace(beside) if beside.is_file() else record_trace(model, task)


def record_trace(model: str, task: str | None) -> Trace:
    """Run a model over its task's dev rows."""
    from ..engines import get_engine
    from ..training.evaluate import evaluate_spiking
    from .rows import load_tokens, tracked

    network, tokens, chosen = load_tokens(model, task, "dev", None, 128, None)
    return evaluate_spiking(network, tokens, chosen, get_engine("exact"), progress=tracked("trace")).trace


def load_trace(path: Path) -> Trace:
    """A trace from a file."""
    from ..trace import Trace

    if not path.is_file():
        raise InputError("no such file", file=path, field="--trace", cure="give a trace (.json.gz)")
    try:
        found = Trace.load(path)
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"not a trace ({error})", file=path, field="--trace", cure="record it anew") from error
    if not found.sequences or not found.connections:
        raise InputError("an empty trace", file=path, field="--trace", cure="run at least one sentence")
    return found


@app.command()
def energy(
    model: ModelName = "sst2",
    task: TaskName = None,
    chip: ChipName = "rram-22nm",
    trace: TraceFile = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write one self-contained page.")] = None,
    tokens: Tokens = 128,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """The bill of a network that ran, line by line, and what it would cost otherwise."""
    from ..energy import energy_answer, load
    from ..report.energy_table import print_energy

    hardware = load(chip, overrides or ())
    ran = obtain_trace(model, task, trace)
    name = trace.name.removesuffix(".json.gz") if trace else model
    answer = energy_answer(ran, hardware, model=name, task=task or name, length=tokens)
    if html is not None:
        from ..report.energy_page import write_page

        write_page(html, answer, ran, hardware)
    if as_json:
        print_json(answer)
    else:
        print_energy(answer)
        if html is not None:
            typer.echo(f"page: {html}")


@app.command()
def compare(
    models: Annotated[list[str] | None, typer.Option("--model", help="Models; give several.")] = None,
    traces: Annotated[list[Path] | None, typer.Option("--trace", help="Traces; give several.")] = None,
    chips: Annotated[list[str] | None, typer.Option("--chip", help="Chips; give several (default: all).")] = None,
    as_json: Json = False,
) -> None:
    """Networks × chips: energy per sentence of each network's own code, and of a dense one beside it."""
    from ..energy import load, shipped
    from ..energy.comparison import compare_on
    from ..report.energy_table import print_comparison

    names = models or ([] if traces else ["sst2"])
    ran = {name: obtain_trace(name, None, None) for name in names}
    ran |= {path.name.removesuffix(".json.gz"): load_trace(path) for path in traces or []}
    rows = [row for name in chips or shipped() for row in compare_on(ran, load(name))]
    if as_json:
        print_json({"rows": rows})
    else:
        print_comparison(rows)


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
        answer: dict[str, Any] = {chip.name: chip.model_dump(exclude_none=True) for chip in chips}
        print_json(answer)
    elif name:
        print_chip(chips[0])
    else:
        print_chips(chips)
