"""``matterhorn msu``: devices, netlists, comparison with ngspice, conductance maps, studies."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from ..extras import need
from .app import PAGES, Json, ModelName, Overwrite, TaskModel, app, print_json, say
from .chip import CircuitName, Deviation, DeviceName, PlaceRows, Seconds, Seed, Tolerance, VerifyWrites, chip
from .rows import Rows, load_rows, model_name, tracked, with_rows

if TYPE_CHECKING:
    from ..msu import Circuit, Device

msu = typer.Typer(
    name="msu",
    help="The memristive synapse unit: devices, netlists, comparison with SPICE, studies.",
    no_args_is_help=True,
)
app.add_typer(msu)

FORMAT = 1
"""Version of the JSON documents."""

Lines = Annotated[int, typer.Option(min=1, max=1024, help="Word lines of the array.")]
Cols = Annotated[int, typer.Option(min=2, max=1024, help="Bit lines of the array, two per neuron.")]
Wires = Annotated[
    bool, typer.Option("--wires/--no-wires", help="Whether to include the resistance of word and bit lines.")
]
Kappa = Annotated[Path | None, typer.Option(help="Pulses: npy file with the signed integer κ of each row.")]
Weights = Annotated[Path | None, typer.Option(help="Weights: npy file with integers, shape (outputs, rows).")]


@msu.command()
def devices(json: Json = False) -> None:
    """List the devices that come with the package."""
    from ..msu import device_names, load_device
    from ..units import engineering

    found = [load_device(name) for name in device_names()]
    if json:
        listed = {device.name: device.model_dump(exclude_none=True) for device in found}
        print_json({"format": FORMAT, "devices": listed})
        return
    for device in found:
        span = f"{engineering(device.low, 'S')} … {engineering(device.high, 'S')}"
        say(f"{device.name:16} {span:22} {device.describes}")


@msu.command()
def netlist(
    out: Annotated[Path, typer.Option(help="File for the netlist (.cir, .sp, .spice or .net).")] = Path("array.cir"),
    device: DeviceName = "rram-wan",
    circuit: CircuitName = "array-128",
    rows: Lines = 64,
    cols: Cols = 32,
    wires: Wires = True,
    seed: Seed = 0,
    seconds: Seconds = 0.0,
    kappa: Kappa = None,
    weights: Weights = None,
    text: Annotated[str | None, typer.Option(help="Sentence whose spikes drive the array.")] = None,
    model: Annotated[str, typer.Option(help="With --text: name or folder of the model.")] = "sst2",
    connection: Annotated[str, typer.Option(help="With --text: connection to take.")] = "block.0.ffn1",
    token: Annotated[int, typer.Option(min=0, help="With --text: number of the token, from 0.")] = 1,
) -> None:
    """Write an ngspice netlist of one array with its neurons and pulses."""
    from ..msu.spice import array_circuit
    from ..msu.spice import netlist as written
    from ..msu.trial import choose_trial
    from ..storage import check_file, put_file

    check_file(out, "--out", kappa, weights, ends=(".cir", ".sp", ".spice", ".net"))
    if text is not None and not kappa is weights is None:
        raise InputError("a sentence brings its own", field="--kappa, --weights", cure="drop --text or these")
    specs = _specs(device, circuit, wires)
    if text is None:
        trial = choose_trial(*specs, (rows, cols), seed, kappa, weights)
    else:
        from ..program import load
        from ..study.sentence import real_trial

        trial = real_trial(load(model), text, connection, token, (rows, cols), *specs, seed)
    trial = trial.at(seconds)
    array = array_circuit(trial.connection, trial.kappa, trial.ramp)
    put_file(out, written(array, out.with_suffix(".data").name))
    say(f"{out}: run it by ngspice -b {out}")


@msu.command()
def check(
    device: DeviceName = "rram-wan",
    circuit: CircuitName = "array-128",
    rows: Lines = 64,
    cols: Cols = 32,
    wires: Wires = True,
    seed: Seed = 0,
    seconds: Seconds = 0.0,
    kappa: Kappa = None,
    weights: Weights = None,
    json: Json = False,
) -> None:
    """Compare the physical model with ngspice on one array: potentials and spike slots."""
    from ..msu.spice import check as compare
    from ..msu.spice import find_ngspice
    from ..msu.trial import choose_trial

    find_ngspice()
    trial = choose_trial(*_specs(device, circuit, wires), (rows, cols), seed, kappa, weights).at(seconds)
    found = compare(trial.connection, trial.kappa, trial.ramp)
    if json:
        print_json({"format": FORMAT, **found._asdict()})
        return
    typer.echo(f"array {found.rows} x {found.cols}, wires {'on' if found.wires else 'off'}")
    typer.echo(f"largest difference of potentials: {100 * found.max_error_full_scale:.2g} % of full scale")
    typer.echo(f"neurons that spike in another slot: {found.slots_different}")


@msu.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder for the maps, created if needed.")],
    model: ModelName = "sst2",
    connections: Annotated[
        list[str] | None, typer.Option("--connection", help="Export only this connection; repeatable.")
    ] = None,
    device: DeviceName = "rram-wan",
    circuit: CircuitName = "array-128",
    deviation: Deviation = None,
    seed: Seed = 0,
    seconds: Seconds = 0.0,
    verify_writes: VerifyWrites = 0,
    tolerance: Tolerance = 0.03,
    place_rows: PlaceRows = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write the conductance maps of a network: an npz file per array, and an index.json that lists what is where.

    Connections that share their rows are exported as one, e.g. ``block.0.query-key-value``.
    """
    from ..msu.export import export_maps
    from ..program import find, load
    from ..runtime.analog import static_arrays, write
    from ..storage import check_folder
    from ..study import sizing_sample

    check_folder(folder, "maps", find(model), overwrite=overwrite)
    bank = chip(device, circuit, seed, deviation, verify_writes, tolerance, place_rows)
    program = load(model)
    known = static_arrays(program)
    chosen = connections or list(known)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        cure = f"give one of {', '.join(known)}"
        raise InputError(f"no connection {unknown[0]!r}", field="--connection", cure=cure)
    sample = sizing_sample(program)
    pairs = [known[name] for name in chosen]
    written = [write(bank, array, source.code, sample[array.name]).at(seconds) for array, source in pairs]
    index = export_maps(written, folder)
    arrays = sum(connection.layout.arrays for connection in written)
    if json:
        print_json({"format": FORMAT, "index": str(index), "connections": len(written), "arrays": arrays})
        return
    say(f"{index}: {len(written)} connections on {arrays} arrays")


def _specs(device: str, circuit: str, wires: bool) -> tuple[Device, Circuit]:
    from ..msu import load_circuit, load_device

    spec = load_circuit(circuit)
    return load_device(device), spec if wires else spec.model_copy(update={"wires": None})


@msu.command()
@with_rows
def study(
    rows: Rows,
    model: TaskModel = None,
    chips: Annotated[int, typer.Option(min=1, max=1000, help="Number of chips per value.")] = 5,
    seed: Seed = 0,
    properties: Annotated[
        list[str] | None, typer.Option("--only", help="Study only this property; repeatable.")
    ] = None,
    points: Annotated[Path | None, typer.Option(help="YAML file with the properties and values to try.")] = None,
    verify_writes: VerifyWrites = 0,
    tolerance: Tolerance = 0.03,
    place_rows: PlaceRows = False,
    output: Annotated[Path | None, typer.Option(help="Write the results to this file (.json).")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a self-contained HTML page to this file.")] = None,
    json: Json = False,
) -> None:
    """Measure the score against one device property at a time, over several chips, and find which device is needed.

    With ``--output FILE``, scores are saved in FILE.part on the way. Run the same command again to resume.
    """
    from ..msu import Correction, WireCache, default_folder
    from ..report.page_file import as_json
    from ..storage import check_file, put_file
    from ..study import Journal, Run, load_plan, run_plan
    from ..study.points import sources_of

    if html is not None:
        need("plot", "plotly")
    if place_rows:
        need("msu", "scipy")
    plan = load_plan(points)
    if properties:
        plan = plan.only(properties)
    if output is not None:
        check_file(output, "--output", points, ends=(".json",))
    if html is not None:
        check_file(html, "--html", points, ends=PAGES)
    correction = Correction(verify_writes, tolerance, place_rows)
    program, tokens, chosen = load_rows(model, rows)
    about = {"task": chosen.name, "model": model_name(model, rows), "n": len(tokens), "metric": chosen.metrics[0]}
    settings = {"verify_writes": verify_writes, "tolerance": tolerance, "place_rows": place_rows}
    sources = {"program": program.hash, "rows": tokens.hash, **sources_of(plan), **about, **settings}
    with Journal(output.with_name(output.name + ".part"), sources) if output else nullcontext() as journal:
        found = run_plan(
            Run.of(program, tokens, chosen),
            plan,
            chips,
            seed=seed,
            cache=WireCache(default_folder()),
            correction=correction,
            journal=journal,
            progress=tracked("study"),
        )
        answer = {**found, **about, "data": rows.data, "verify_writes": verify_writes, "place_rows": place_rows}
        if output is not None and journal is not None:
            put_file(output, as_json(answer, indent=1) + "\n")
            journal.close()
    if html is not None:
        from ..report.study import write_study_page

        write_study_page(html, answer)
    if json:
        print_json(answer)
        return
    from ..report.study import print_study

    print_study(answer)
    for path in (output, html):
        if path is not None:
            say(f"written: {path}")
