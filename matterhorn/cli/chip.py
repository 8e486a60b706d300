"""What the commands that run on chips share: options and the chip they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from ..extras import need
from .app import given

if TYPE_CHECKING:
    from ..msu import ArrayBank

DeviceName = Annotated[str, typer.Option("--device", help="Name of a device, or a YAML file.")]
CircuitName = Annotated[str, typer.Option("--circuit", help="Name of a circuit, or a YAML file.")]
Seconds = Annotated[float, typer.Option(min=0, help="Time since programming, s.")]
Deviation = Annotated[
    float | None, typer.Option(min=0, max=1, help="Programming noise of all cells, as a share of their conductance.")
]
Seed = Annotated[int, typer.Option(min=0, help="Which chip (the first of several), and what is drawn besides.")]
Chips = Annotated[int, typer.Option(min=1, max=1000, help="How many chips.")]
VerifyWrites = Annotated[int, typer.Option(min=0, max=1000, help="Write cells that are off again, so often at most.")]
Tolerance = Annotated[float, typer.Option(help="What such a check leaves alone, as a share of the conductance range.")]
PlaceRows = Annotated[bool, typer.Option("--place-rows", help="Put light rows of weights where cells are stuck.")]


def chip(
    device: str,
    circuit: str,
    seed: int,
    deviation: float | None = None,
    verify_writes: int = 0,
    tolerance: float = 0.03,
    place_rows: bool = False,
) -> ArrayBank:
    """The chip that options name, its solved wires kept in the user's cache."""
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
    """Chip options make no sense for backends without a chip."""
    options = "deviation", "device", "circuit", "seed", "seconds", "chips", "verify_writes", "place_rows"
    for name in given(context, *options):
        option = "--" + name.replace("_", "-")
        raise InputError(f"backend {backend!r} has no chip", field=option, cure="give --backend analog, or drop it")


def about_chips(bank: ArrayBank, seconds: float, values: list[float]) -> dict[str, Any]:
    """What an answer says about the chips and their scores."""
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
