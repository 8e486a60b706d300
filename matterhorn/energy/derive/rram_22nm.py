"""Derive the component figures of the ``rram-22nm`` chip with ``hwcomponents`` (Python ≥ 3.12).

Run ``pip install "matterhorn-snn[chips]"`` and then ``python -m matterhorn.energy.derive.rram_22nm``. The answer is
written beside this file as ``rram_22nm.json``; the values of ``chips/rram-22nm.yaml`` are copied from it, and a test
compares the two. Where the CACTI binary in the wheel does not start (it wants a newer glibc), build it from the sources
in the same wheel: ``make clean && make`` in ``hwcomponents_cacti/cacti``.

Assumptions, not figures of a library, stand in :data:`ASSUMED`, each with its reason.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

NODE = 22e-9

ASSUMED: dict[str, tuple[float, str]] = {
    "lanes": (64, "one SRAM word of 64 one-bit weights is added per cycle"),
    "core_sram_bits": (65536, "8 kB per digital core: 1024 rows of 64 one-bit weights"),
    "msu_rows": (128, "ISAAC crossbar (Shafiee 2016): 128 x 128"),
    "msu_columns": (64, "ISAAC crossbar (Shafiee 2016): 128 x 128 cells, two cells to a differential pair"),
    "msu_stacked": (8, "ISAAC in-situ multiply-accumulate unit: 8 crossbars"),
    "cell_area_f2": (53, "1T1R cell of 53 F^2 (NVMExplorer RRAM, access transistor 6 F)"),
    "router_bits": (32, "one spike packet or eight dense levels per flit"),
    "macro_access_j": (32.06e-12, "ReRAM CIM macro, 55 nm (Xue, JSSC 2020): energy of one sub-array access"),
    "macro_control_share": (0.29 + 0.24, "same macro: control 29 % and reference 24 % of an access"),
    "macro_node_m": (55e-9, "same macro"),
}
"""Choices and published figures that the derivation starts from: value (SI) and reason."""


def assumed(name: str) -> float:
    """Value of an assumption."""
    return ASSUMED[name][0]


def memories() -> dict[str, float]:
    """SRAM from CACTI, J per bit, m² and W; external memory from the LPDDR4 model."""
    from hwcomponents_cacti import LPDDR4, SRAM

    core = SRAM(tech_node=NODE, width=64, size=int(assumed("core_sram_bits")))
    state = SRAM(tech_node=NODE, width=64, size=32768)
    far = SRAM(tech_node=NODE, width=64, size=8 * 2**20)
    return {
        "sram_8kB_read_j_per_bit": core.read().energy / 64,
        "sram_8kB_write_j_per_bit": core.write().energy / 64,
        "sram_8kB_area_m2": core.area,
        "sram_8kB_leakage_w": core.leak_power,
        "sram_4kB_read_j_per_bit": state.read().energy / 64,
        "sram_4kB_write_j_per_bit": state.write().energy / 64,
        "sram_1MB_read_j_per_bit": far.read().energy / 64,
        "lpddr4_read_j_per_bit": LPDDR4(width=64).read().energy / 64,
    }


def logic() -> dict[str, float]:
    """Adder, comparator and multiplier (Aladdin), scaled to the node: J, m², W."""
    from hwcomponents_library.library.aladdin import AladdinAdder, AladdinComparator, AladdinMultiplier

    adder, comparator = AladdinAdder(NODE, 16), AladdinComparator(NODE, 16)
    multiplier = AladdinMultiplier(NODE, width=16)
    return {
        "add_16b_j": adder.add().energy,
        "add_16b_area_m2": adder.area,
        "add_16b_leakage_w": adder.leak_power,
        "compare_16b_j": comparator.compare().energy,
        "multiply_16b_j": multiplier.multiply().energy,
    }


def network() -> dict[str, float]:
    """ISAAC router, as narrow as our flits, and a wire: J per bit, J per bit and metre, m²."""
    from hwcomponents_library.library.isaac import IsaacRouter
    from hwcomponents_library.library.misc import Wire

    wide = IsaacRouter(NODE, 256)
    wire = Wire(length=1e-3, tech_node=NODE)
    return {
        "router_j_per_bit": wide.transfer().energy / 256,
        "router_area_m2": IsaacRouter(NODE, int(assumed("router_bits"))).area,
        "wire_j_per_bit_and_m": wire.read().energy / 1e-3,
    }


def analog() -> dict[str, float]:
    """Parts of the synapse unit: TIMELY converters and comparator, NeuRRAM integrator, macro control. J, m², W."""
    from hwcomponents.scaling import tech_node_energy
    from hwcomponents_library.library.misc import Wire
    from hwcomponents_library.library.neurram import NeurramAnalogIntegrator
    from hwcomponents_library.library.timely import TimelyChargingComparator, TimelyDTC, TimelyTDC

    pitch = assumed("cell_area_f2") ** 0.5 * NODE
    row = Wire(length=2 * assumed("msu_columns") * pitch, tech_node=NODE)
    driver, integrator = TimelyDTC(NODE), NeurramAnalogIntegrator(NODE)
    comparator, readout = TimelyChargingComparator(NODE), TimelyTDC(NODE)
    scaling = tech_node_energy(NODE, assumed("macro_node_m"))
    return {
        "row_driver_j": driver.convert().energy + row.read().energy,
        "row_driver_area_m2": driver.area,
        "integrator_j": integrator.integrate().energy,
        "integrator_area_m2": integrator.area,
        "integrator_leakage_w": integrator.leak_power,
        "comparator_j": comparator.compare().energy,
        "comparator_area_m2": comparator.area,
        "readout_j": readout.convert().energy,
        "readout_area_m2": readout.area,
        "control_j": assumed("macro_access_j") * assumed("macro_control_share") * scaling,
        "energy_scaling_55nm_to_22nm": scaling,
    }


def tiles(parts: dict[str, float]) -> dict[str, float]:
    """Area and leakage of a digital core and of a synapse unit, each with its router: m², W."""
    lanes, stacked = assumed("lanes"), assumed("msu_stacked")
    rows, columns = assumed("msu_rows"), assumed("msu_columns")
    cells = 2 * rows * columns * assumed("cell_area_f2") * NODE**2
    column = parts["integrator_area_m2"] + parts["comparator_area_m2"] + parts["readout_area_m2"]
    array = cells + columns * column + rows * parts["row_driver_area_m2"]
    return {
        "core_area_m2": parts["sram_8kB_area_m2"] + lanes * parts["add_16b_area_m2"] + parts["router_area_m2"],
        "core_leakage_w": parts["sram_8kB_leakage_w"] + lanes * parts["add_16b_leakage_w"],
        "msu_area_m2": stacked * array + parts["router_area_m2"],
        "msu_leakage_w": stacked * columns * parts["integrator_leakage_w"],
    }


def derive() -> dict[str, Any]:
    """All figures with the versions and assumptions they come from."""
    parts = memories() | logic() | network() | analog()
    packages = ("hwcomponents", "hwcomponents-cacti", "hwcomponents-library")
    return {
        "node_m": NODE,
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "assumed": {name: {"value": value, "reason": reason} for name, (value, reason) in ASSUMED.items()},
        "figures": parts | tiles(parts),
    }


if __name__ == "__main__":
    Path(__file__).with_suffix(".json").write_text(json.dumps(derive(), indent=2) + "\n")
