"""Export conductance maps for programming real arrays: one npz file per array, and a JSON index."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..storage import put_folder
from .connection import ProgrammedConnection
from .mapping import unit_conductance

FORMAT = 2
"""Version of the index of conductance maps."""

INDEX_FILE = "index.json"


def export_maps(connections: Iterable[ProgrammedConnection], folder: str | Path) -> Path:
    """Write all arrays of some connections to a folder. Returns the path of the index.

    Each npz file holds the conductances ``target`` and ``held`` (by the simulated chip) of one array, in siemens,
    float32 ``[rows, columns]``. Bit lines 2j and 2j + 1 are the plus and minus cells of neuron j. The index says which
    inputs and outputs an array serves: input ``first_input`` is in row ``first_row``, the next input in the next row,
    and so on; output ``first_output`` is in pair 0, and so on. If rows were placed (:class:`.Correction`),
    ``first_input`` is a position in ``input_order``.
    """
    folder = Path(folder)

    def write(fresh: Path) -> None:
        entries = [_write_connection(connection, fresh) for connection in connections]
        text = json.dumps({"format": FORMAT, "unit": "S", "connections": entries}, indent=2)
        (fresh / INDEX_FILE).write_text(text, encoding="utf-8")

    put_folder(folder, "maps", write)
    return folder / INDEX_FILE


def _write_connection(connection: ProgrammedConnection, folder: Path) -> dict[str, object]:
    layout = connection.layout
    arrays: list[dict[str, object]] = []
    for place in np.ndindex(layout.slices, layout.tiles, layout.banks):
        piece, tile, bank = place
        file = f"{connection.name}.{piece}.{tile}.{bank}.npz"
        np.savez_compressed(folder / file, target=connection.cells.target[place], held=connection.conductances[place])
        first_row = layout.spare if tile == 0 else 0
        entry = {
            "file": file,
            "digit": piece,
            "place_value": layout.base**piece,
            "first_row": first_row,
            "first_input": tile * layout.rows + first_row - layout.spare,
            "inputs": layout.rows - first_row,
            "first_output": bank * layout.pairs,
            "outputs": min(layout.pairs, layout.fan_out - bank * layout.pairs),
        }
        arrays.append(entry)
    order = {} if connection.order is None else {"input_order": connection.order.tolist()}
    return {
        **order,
        "name": connection.name,
        "device": connection.device.name,
        "circuit": connection.circuit.name,
        "fan_in": layout.fan_in,
        "fan_out": layout.fan_out,
        "unit_conductance": unit_conductance(layout, connection.device),
        "seconds": connection.seconds,
        "arrays": arrays,
    }
