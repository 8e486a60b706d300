"""Energy of computing, in J: synapses on digital arrays or in synapse units, neurons, and digital functions."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..errors import InputError
from ..program.trace import DigitalTrace
from .activity import Activity
from .chip import Chip, Msu, Step
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
    yield a.name, "computing", combined(a) * (mapping.row_groups(a) - 1) * chip.logic.add.si
    visits = a.steps if a.form == "train" else 1
    access = (chip.state.read.si + chip.state.write.si) * chip.state.bits.si
    yield a.name, "neuron_state", a.outputs * visits * access


def combined(a: Activity) -> float:
    """What row groups add up: potentials; of scores, whose keys lie in several tiles, each row's maximum and sum."""
    return 2 * a.vectors if a.connection == "qk" else a.outputs


def unit_lines(a: Activity, chip: Chip, mapping: Mapping) -> Iterable[Line]:
    """A synapse unit: rows conduct for |κ| slots, columns integrate and are read once per window and array.

    Conduction is V·V_supply·(G⁺ + G⁻)·τ per slot and pair, where one of the two is high and one low; of a 0 both are
    low. Capacitors are charged to their whole swing. With pulses of binary weight, rows conduct for one slot and are
    switched once for each set bit of |κ|, and columns integrate once for each bit.
    """
    unit = chip.msu
    assert unit is not None
    binary = unit.pulses == "binary"
    driven = a.pulses if binary else a.kappa
    pairs = a.fan * a.digits
    conductance = (1 - a.zeros) * unit.g_on.si + (1 + a.zeros) * unit.g_off.si
    slot = unit.voltage.si * unit.supply.si * conductance * unit.slot.si
    yield a.name, "msu_conduction", driven * pairs * slot
    column_arrays = math.ceil(a.fan_out * a.digits / unit.columns.si)
    pulses = a.pulses if binary else a.events if a.form == "train" else a.active
    yield a.name, "msu_row_drivers", pulses * column_arrays * unit.row_driver.si
    row_arrays = math.ceil(a.fan_in / unit.rows.si)
    columns = a.outputs * a.digits * row_arrays
    steps = a.level_bits if binary and a.form != "train" else 1
    yield (
        a.name,
        "msu_integrator",
        columns * (steps * unit.integrator.si + capacitor(a, unit) * unit.swing.si * unit.supply.si),
    )
    yield a.name, "msu_comparator", columns * unit.comparator.si
    yield a.name, "msu_readout", columns * unit.readout.si
    yield a.name, "msu_control", a.vectors * mapping.groups[a.name].arrays * unit.control.si
    yield a.name, "computing", (columns - a.outputs) * chip.logic.add.si
    access = (chip.state.read.si + chip.state.write.si) * chip.state.bits.si
    yield a.name, "neuron_state", a.outputs * access


SIGMAS = 9
"""Standard deviations of a potential that an array's capacitors leave room for: networks that ship reach 8."""


def largest_potential(a: Activity, unit: Msu) -> float:
    """Largest potential of one array, in slots of one row: :data:`SIGMAS` standard deviations of a sum of κ with
    independent signs, or every row at its furthest if that is less."""
    rows = min(a.fan_in, unit.rows.si)
    spread = (rows * a.squares / a.windows) ** 0.5 if a.windows else 0.0
    largest: float = np.minimum(rows * ((1 << a.level_bits) - 1), SIGMAS * spread)
    return largest


def capacitor(a: Activity, unit: Msu) -> float:
    """Capacitor of a column, F: the unit's own, or a larger one where a code's potentials ask for it."""
    needed: float = np.maximum(unit.capacitor.si, largest_potential(a, unit) * unit.unit_charge / unit.swing.si)
    return needed


def fire_lines(a: Activity, chip: Chip) -> Iterable[Line]:
    """Levels and spikes of a population.

    From potentials: thresholds are read once a window. A train compares in each step; a single spike in each slot in
    which it may be sent, with a threshold that falls by an addition; words are rescaled and rounded. Levels that a
    digital step gave are compared with both edges of the dead zone (of a train: with each step's number). Each spike
    takes a subtraction: the reset, or the distance that is its slot.
    """
    logic = chip.logic
    if a.fires:
        words = 1 if a.form == "train" else a.threshold_words
        yield a.name, "thresholds", a.windows * words * chip.state.threshold.si * chip.state.read.si
    if a.form == "word":
        yield a.name, "computing", a.windows * _element(chip.digital.quantize, chip) if a.fires else 0.0
        return
    if a.fires:
        falls = logic.add.si if a.form == "spike" else 0.0
        yield a.name, "computing", a.compares * (logic.compare.si + falls)
    else:
        yield a.name, "computing", a.windows * (2 if a.form == "spike" else a.steps) * logic.compare.si
    yield a.name, "computing", a.events * logic.subtract.si


def store_lines(a: Activity, chip: Chip) -> Iterable[Line]:
    """Keys or values: potentials become bits by bisection, a comparison each, and are written. Thresholds are read."""
    words = 1 if a.key_bits == 1 else 2
    adds = (a.key_bits - 1) * chip.logic.add.si
    yield a.name, "thresholds", a.outputs * words * chip.state.threshold.si * chip.state.read.si
    yield a.name, "computing", a.outputs * (a.key_bits * chip.logic.compare.si + adds)
    yield a.name, "kv_write", a.outputs * a.key_bits * chip.kv.write.si


def _element(cost: Step, chip: Chip) -> float:
    """One element of a digital function, J."""
    logic = chip.logic
    return cost.adds.si * logic.add.si + cost.multiplies.si * logic.multiply.si + cost.lookups.si * logic.lookup.si


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
    vector = cost.vector_adds.si * logic.add.si + cost.vector_lookups.si * logic.lookup.si
    energy = step.elements * _element(cost, chip) + step.vectors * vector
    if step.operation == "embedding":
        energy += step.elements * chip.embedding.bits.si * chip.embedding.read.si
    elif step.operation == "head":
        energy += step.elements * chip.embedding.bits.si * chip.weights.read.si
    yield step.name, "digital_functions", energy
