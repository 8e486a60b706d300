"""Derive the row driver and the cell of the ``rram-22nm-neurosim`` chip with NeuroSim (Python ≥ 3.12, non-commercial).

NeuroSim is licensed CC BY-NC 4.0, so its figures stay out of the default chip. Run ``pip install
"matterhorn-snn[chips-nc]"`` and then ``python -m matterhorn.energy.derive.neurosim_22nm``. Where the NeuroSim binary
in the wheel does not start, build it: copy ``drop_in`` over ``DNN_NeuroSim_V1.3/Inference_pytorch/NeuroSIM``, ``make``,
and put ``main`` into ``hwcomponents_neurosim/NeuroSim``. hwcomponents-neurosim 1.0.43 forgets the cell type in its
cache, so every configuration runs in a process of its own.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ...reading import read_mapping
from ...storage import put_file

FILE = Path(__file__).with_suffix(".json")
"""Holds the figures, the cell, and the array that they are of: 128 × 128 with 4-bit inputs in time."""


def measure(kind: str, held: dict[str, Any]) -> dict[str, float]:
    """Row driver with one pulse of variable ``width``, or with a ``train`` of pulses: J, m²."""
    import hwcomponents_neurosim
    from hwcomponents_neurosim.main import MemoryCell, RowDrivers

    cell = str(Path(hwcomponents_neurosim.__file__).parent / "cells" / held["cell"])
    given = {**held["configuration"], "cell_config": cell, "temporal_spiking": kind == "train"}
    driver, memory = RowDrivers(**given), MemoryCell(**given)
    return {
        f"row_driver_{kind}_j": driver.read().energy,
        f"row_driver_{kind}_area_m2": driver.area,
        f"cell_{kind}_j": memory.read().energy,
    }


def derive(held: dict[str, Any]) -> dict[str, Any]:
    """What the file holds, with figures and versions anew, each kind of driver in its own process."""
    figures: dict[str, float] = {}
    for kind in ("width", "train"):
        answer = subprocess.run([sys.executable, __file__, kind], check=True, capture_output=True, text=True)
        figures |= json.loads(answer.stdout.splitlines()[-1])
    versions = {name: importlib.metadata.version(name) for name in held["versions"]}
    return held | {"versions": versions, "figures": figures}


if __name__ == "__main__":
    found = read_mapping(FILE)
    if sys.argv[1:]:
        print(json.dumps(measure(sys.argv[1], found)))
    else:
        put_file(FILE, json.dumps(derive(found), indent=2) + "\n")
