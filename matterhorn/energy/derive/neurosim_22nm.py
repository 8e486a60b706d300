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

CONFIGURATION = {
    "tech_node": 22e-9,
    "cycle_period": 1e-9,
    "rows": 128,
    "cols": 128,
    "cols_active_at_once": 128,
    "average_input_value": 0.5,
    "average_cell_value": 0.5,
    "read_pulse_width": 1e-9,
    "temporal_dac_bits": 4,
}
"""A 128 × 128 array with 4-bit inputs in time."""

CELL = "nvmexplorer_RRAM.cell"


def measure(kind: str) -> dict[str, float]:
    """Row driver with one pulse of variable ``width``, or with a ``train`` of pulses: J, m²."""
    import hwcomponents_neurosim
    from hwcomponents_neurosim.main import MemoryCell, RowDrivers

    cell = str(Path(hwcomponents_neurosim.__file__).parent / "cells" / CELL)
    given = {**CONFIGURATION, "cell_config": cell, "temporal_spiking": kind == "train"}
    driver, memory = RowDrivers(**given), MemoryCell(**given)
    return {
        f"row_driver_{kind}_j": driver.read().energy,
        f"row_driver_{kind}_area_m2": driver.area,
        f"cell_{kind}_j": memory.read().energy,
    }


def derive() -> dict[str, object]:
    """All figures, each kind in its own process."""
    figures: dict[str, float] = {}
    for kind in ("width", "train"):
        module = "matterhorn.energy.derive.neurosim_22nm"
        answer = subprocess.run([sys.executable, "-m", module, kind], check=True, capture_output=True, text=True)
        figures |= json.loads(answer.stdout.splitlines()[-1])
    packages = ("hwcomponents", "hwcomponents-neurosim")
    return {
        "licence": "CC BY-NC 4.0 (NeuroSim)",
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "configuration": CONFIGURATION,
        "cell": CELL,
        "figures": figures,
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
    else:
        Path(__file__).with_suffix(".json").write_text(json.dumps(derive(), indent=2) + "\n")
