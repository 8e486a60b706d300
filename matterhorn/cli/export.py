"""``matterhorn msu export``: what a programmer of real arrays has to write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .app import Json, print_json
from .chip import CircuitName, Deviation, DeviceName, PlaceRows, Seconds, Seed, Tolerance, VerifyWrites, chip, sizes
from .msu import msu


@msu.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder for the maps; made where there is none.")],
    model: Annotated[str, typer.Option(help="A shipped model's name or a folder.")] = "sst2",
    connections: Annotated[
        list[str] | None, typer.Option("--connection", help="Only this connection; may be given several times.")
    ] = None,
    device: DeviceName = "rram-wan",
    circuit: CircuitName = "array-128",
    deviation: Deviation = None,
    seed: Seed = 0,
    seconds: Seconds = 0.0,
    verify_writes: VerifyWrites = 0,
    tolerance: Tolerance = 0.03,
    place_rows: PlaceRows = False,
    json: Json = False,
) -> None:
    """Write conductance maps of a network: an npz for each array, and an index.json that says what sits where.

    Query, key and value share their rows, as one connection ``block.<i>.query-key-value``.
    """
    from ..engines.analog import static_connections, write
    from ..models.checkpoint import load_spiking
    from ..msu.export import export_maps
    from ..zoo import find

    bank = chip(device, circuit, seed, deviation, verify_writes, tolerance, place_rows)
    if folder.exists() and not folder.is_dir():
        raise InputError("not a folder", file=folder, cure="name a folder")
    network = load_spiking(find(model))
    known = static_connections(network)
    chosen = connections or list(known)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        cure = f"give one of {', '.join(known)}"
        raise InputError(f"no connection {unknown[0]!r}", field="--connection", cure=cure)
    sample = sizes(model, network)
    written = [write(bank, name, known[name][0], known[name][1].code, sample[name]).at(seconds) for name in chosen]
    index = export_maps(written, folder)
    arrays = sum(connection.layout.arrays for connection in written)
    if json:
        print_json({"index": str(index), "connections": len(written), "arrays": arrays})
        return
    typer.echo(f"{index}: {len(written)} connections on {arrays} arrays")
