"""Energy of computing: synapses on digital arrays or in synapse units, neurons, and digital functions. J throughout."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..errors import InputError
from ..program.trace import DigitalTrace
from .activity import Activity
from .chip import Chip
from .mapping import Mapping

Line = tuple[str, str, float]
"""One line of a bill: connection or digital step, category, energy in J."""


def synapse_lines(a: Activity, chip: Chip, mapping: Mapping) -> Iterable[Line]:
    """A digital array: each operation reads its operand and is added to a potential; row groups are summed after."""
    additions = a.operations * a.adds + a.offset
    yield a.name, "computing", additions * chip.logic.accumulate.si
    if a.dynamic:
        yield a.name, "kv_read", (a.operations + a.offset) * a.operand_bits * chip.kv.read.si
    else:
        reuse = chip.weights.reuse.si if a.form == "word" else 1
        yield a.name, "weight_access", a.operations * a.operand_bits * chip.weights.read.si / reuse
        parts = mapping.groups[a.name].row_groups
        yield a.name, "computing", a.outputs * (parts - 1) * chip.logic.add.si
    visits = a.steps if a.form == "train" else 1
    access = (chip.state.read.si + chip.state.write.si) * chip.state.bits.si
    yield a.name, "neuron_state", a.outputs * visits * access


def unit_lines(a: Activity, chip: Chip, mapping: Mapping) -> Iterable[Line]:
    """A synapse unit: rows conduct for |κ| slots, columns integrate and are read once per window and array.

    Conduction is V²·(G⁺ + G⁻)·τ per slot and pair, where one of the two is high and one low; of a 0 both are low.
    """
    unit = chip.msu
    assert unit is not None
    pairs = a.fan * a.digits
    conductance = (1 - a.zeros) * unit.g_on.si + (1 + a.zeros) * unit.g_off.si
    slot = unit.voltage.si**2 * conductance * unit.slot.si
    yield a.name, "msu_conduction", a.kappa * pairs * slot
    column_arrays = math.ceil(a.fan_out * a.digits / unit.columns.si)
    pulses = a.events if a.form == "train" else a.active
    yield a.name, "msu_row_drivers", pulses * column_arrays * unit.row_driver.si
    row_arrays = math.ceil(a.fan_in / unit.rows.si)
    columns = a.outputs * a.digits * row_arrays
    yield a.name, "msu_integrator", columns * unit.integrator.si
    yield a.name, "msu_comparator", columns * unit.comparator.si
    yield a.name, "msu_readout", columns * unit.readout.si
    yield a.name, "msu_control", a.vectors * mapping.groups[a.name].arrays * unit.control.si
    yield a.name, "computing", (columns - a.outputs) * chip.logic.add.si
    access = (chip.state.read.si + chip.state.write.si) * chip.state.bits.si
    yield a.name, "neuron_state", a.outputs * access


def fire_lines(a: Activity, chip: Chip) -> Iterable[Line]:
    """Spike generation of a population: a comparison in every step, a subtraction (reset) per spike. Words: none."""
    if a.form != "word":
        energy = a.windows * a.steps * chip.logic.compare.si + a.events * chip.logic.subtract.si
        yield a.name, "computing", energy


def digital_lines(step: DigitalTrace, chip: Chip) -> Iterable[Line]:
    """A digital function: operations per element and vector, and reads of the embedding table or the head's weights.

    The elements of a head are its products, each with its own weight.
    """
    known = type(chip.digital).model_fields
    if step.operation not in known:
        raise InputError(
            f"no cost is known for {step.operation!r}", field=step.name, cure=f"known are {', '.join(known)}"
        )
    cost = getattr(chip.digital, step.operation)
    logic = chip.logic
    element = cost.adds.si * logic.add.si + cost.multiplies.si * logic.multiply.si + cost.lookups.si * logic.lookup.si
    vector = cost.vector_adds.si * logic.add.si + cost.vector_lookups.si * logic.lookup.si
    energy = step.elements * element + step.vectors * vector
    if step.operation == "embedding":
        energy += step.elements * chip.embedding.bits.si * chip.embedding.read.si
    elif step.operation == "head":
        energy += step.elements * chip.embedding.bits.si * chip.weights.read.si
    yield step.name, "digital_functions", energy
