"""Options that commands for simulated chips share, and the chip that they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from ..extras import need
from .app import given

if TYPE_CHECKING:
    from ..msu import ArrayBank

DeviceName = Annotated[str, typer.Option("--device", help="Device: name or YAML file; see 'matterhorn msu devices'.")]
CircuitName = Annotated[str, typer.Option("--circuit", help="Circuit: name or YAML file.")]
Seconds = Annotated[float, typer.Option(min=0, help="Time since programming, in s.")]
Deviation = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Programming noise of all cells: relative standard deviation of their conductance."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the chip (of the first of several) and of other random draws.")]
Chips = Annotated[int, typer.Option(min=1, max=1000, help="Number of chips, with consecutive seeds.")]
VerifyWrites = Annotated[
    int, typer.Option(min=0, max=1000, help="Check cells and rewrite inaccurate ones, up to this many times.")
]
Tolerance = Annotated[
    float, typer.Option(help="Error that --verify-writes tolerates, as a share of the conductance range.")
]
PlaceRows = Annotated[
    bool, typer.Option("--place-rows", help="Place rows of weights so that stuck cells do the least harm.")
]


def chip(
    device: str,
    circuit: str,
    seed: int,
    deviation: float | None = None,
    verify_writes: int = 0,
    tolerance: float = 0.03,
    place_rows: bool = False,
) -> ArrayBank:
    """Return the chip that the options describe. Solutions for its wires are kept in the user's cache."""
    from ..msu import ArrayBank, Correction, WireCache, default_folder, deviating, load_circuit, load_device

    cells, spec = load_device(device), load_circuit(circuit)
    by_patterns = spec.wires is not None and (spec.wires.undriven == "float" or cells.nonlinearity is not None)
    if place_rows or by_patterns:
        need("msu", "scipy")
    if deviation is not None:
        cells = deviating(cells, deviation)
    if verify_writes and cells.programming is None:
        cure = "give --deviation, or a --device that has some"
        raise InputError(f"{cells.name} has no programming noise", field="--verify-writes", cure=cure)
    if place_rows and cells.stuck is None:
        raise InputError(f"{cells.name} has no stuck cells", field="--place-rows", cure="give a --device that has some")
    correction = Correction(verify_writes, tolerance, place_rows)
    return ArrayBank(cells, spec, seed, WireCache(default_folder()), correction)


def refuse_chip_options(context: typer.Context, backend: str) -> None:
    """Raise an error if chip options are given with a backend that has no chip."""
    options = "deviation", "device", "circuit", "seed", "seconds", "chips", "verify_writes", "place_rows"
    for name in given(context, *options):
        option = "--" + name.replace("_", "-")
        raise InputError(f"backend {backend!r} has no chip", field=option, cure="give --backend analog, or drop it")


def about_chips(bank: ArrayBank, seconds: float, values: list[float]) -> dict[str, Any]:
    """Return the part of an answer that describes the chips and their scores."""
    from ..study import spread

    return {
        "device": bank.device.name,
        "circuit": bank.circuit.name,
        "since_programming_s": seconds,
        "verify_writes": bank.correction.verify_writes,
        "place_rows": bank.correction.place_rows,
        "chips": [{"seed": bank.seed + i, "value": value} for i, value in enumerate(values)],
        "mean": sum(values) / len(values),
        "spread": spread(values),
        "worst": min(values),
    }
