"""``matterhorn msu``: devices, netlists and the comparison with ngspice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .app import Json, app, print_json

if TYPE_CHECKING:
    from ..msu.trial import Trial

msu = typer.Typer(name="msu", help="The memristive synapse unit: devices, netlists, SPICE.", no_args_is_help=True)
app.add_typer(msu)

DeviceName = Annotated[str, typer.Option("--device", help="Name of a device, or a YAML file.")]
CircuitName = Annotated[str, typer.Option("--circuit", help="Name of a circuit, or a YAML file.")]
Rows = Annotated[int, typer.Option(min=1, max=1024, help="Word lines of the array.")]
Cols = Annotated[int, typer.Option(min=2, max=1024, help="Bit lines of the array, two per neuron.")]
Wires = Annotated[bool, typer.Option("--wires/--no-wires", help="Resistance of word and bit lines.")]
Seed = Annotated[int, typer.Option(help="Which chip, and which weights and pulses where none are given.")]
Seconds = Annotated[float, typer.Option(min=0, help="Time since programming, s.")]
Kernel = Annotated[Path | None, typer.Option(help="Pulses: npy with the signed kernel of each row, integers.")]
Weights = Annotated[Path | None, typer.Option(help="Weights: npy, integers [outputs, rows].")]


@msu.command()
def devices(as_json: Json = False) -> None:
    """List the devices that come with the package."""
    from ..msu import device_names, load_device
    from ..quantity import engineering

    found = [load_device(name) for name in device_names()]
    if as_json:
        print_json({device.name: device.model_dump(exclude_none=True) for device in found})
        return
    for device in found:
        span = f"{engineering(device.low, 'S')} … {engineering(device.high, 'S')}"
        typer.echo(f"{device.name:16} {span:22} {device.describes}")


@msu.command()
def netlist(
    out: Annotated[Path, typer.Option(help="Where to write the netlist.")] = Path("array.cir"),
    device: DeviceName = "rram-wan",
    circuit: CircuitName = "array-128",
    rows: Rows = 64,
    cols: Cols = 32,
    wires: Wires = True,
    seed: Seed = 0,
    seconds: Seconds = 0.0,
    kernel: Kernel = None,
    weights: Weights = None,
    text: Annotated[str | None, typer.Option(help="A sentence: its spikes drive the array.")] = None,
    model: Annotated[str, typer.Option(help="With --text: a shipped model's name or a folder.")] = "sst2",
    connection: Annotated[str, typer.Option(help="With --text: which connection.")] = "block.0.ffn1",
    token: Annotated[int, typer.Option(min=0, help="With --text: which token, from 0.")] = 1,
) -> None:
    """Write one array with its neurons and pulses as an ngspice netlist."""
    from ..msu.netlist import array_circuit
    from ..msu.netlist import netlist as written

    if not out.resolve().parent.is_dir():
        raise InputError("no such folder", file=out, field="--out", cure="name a file in a folder that exists")
    if text is None:
        trial = _trial(device, circuit, rows, cols, wires, seed, seconds, kernel, weights)
    else:
        if kernel is not None or weights is not None:
            raise InputError("a sentence brings its own", field="--kernel, --weights", cure="drop --text or these")
        trial = _real_trial(model, text, connection, token, (device, circuit, rows, cols, wires, seed, seconds))
    array = array_circuit(trial.connection, trial.kernel, trial.ramp)
    out.write_text(written(array, out.with_suffix(".data").name), encoding="ascii")
    typer.echo(f"{out}: run it by ngspice -b {out}")


@msu.command()
def check(
    device: DeviceName = "rram-wan",
    circuit: CircuitName = "array-128",
    rows: Rows = 64,
    cols: Cols = 32,
    wires: Wires = True,
    seed: Seed = 0,
    seconds: Seconds = 0.0,
    kernel: Kernel = None,
    weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Compare the model with ngspice on one array: potentials and spike slots."""
    from ..msu.spice import check as compare

    trial = _trial(device, circuit, rows, cols, wires, seed, seconds, kernel, weights)
    found = compare(trial.connection, trial.kernel, trial.ramp)
    if as_json:
        print_json(found.as_dict())
        return
    typer.echo(f"array {found.rows} x {found.cols}, wires {'on' if found.wires else 'off'}")
    typer.echo(f"largest difference of potentials: {100 * found.max_error_full_scale:.2g} % of full scale")
    typer.echo(f"neurons that spike in another slot: {found.slots_different}")


def _trial(
    device: str,
    circuit: str,
    rows: int,
    cols: int,
    wires: bool,
    seed: int,
    seconds: float,
    kernel: Path | None,
    weights: Path | None,
) -> Trial:
    from ..msu import load_circuit, load_device
    from ..msu.trial import choose_trial

    spec = load_circuit(circuit)
    spec = spec if wires else spec.model_copy(update={"wires": None})
    return choose_trial(load_device(device), spec, (rows, cols), seed, seconds, kernel, weights)


def _real_trial(
    model: str, text: str, connection: str, token: int, chip: tuple[str, str, int, int, bool, int, float]
) -> Trial:
    """The first rows and neurons of a real connection, driven by a real token."""
    from ..engines.answer import load_tokenizer
    from ..models.checkpoint import load_spiking
    from ..msu import load_circuit, load_device
    from ..study.sentence import real_array
    from ..zoo import find

    device, circuit, rows, cols, wires, seed, seconds = chip
    spec = load_circuit(circuit)
    spec = spec if wires else spec.model_copy(update={"wires": None})
    folder = find(model)
    array = real_array(load_spiking(folder), load_tokenizer(folder), text, connection, token, (rows, cols))
    return array.trial(load_device(device), spec, seed, seconds)
