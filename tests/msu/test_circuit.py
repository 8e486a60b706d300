"""Neurons against explicit integration in small time steps, and what happens when a part is broken."""

import math

import numpy as np
import pytest

from matterhorn.coding import Code
from matterhorn.msu import ArrayBank, Ramp, load_circuit, load_device, only, plain, resized
from matterhorn.msu.mapping import unit_conductance
from matterhorn.msu.plain import remembered
from matterhorn.msu.wires import effective_conductance

from ..networks import small_arrays, small_program
from .drawn import quantity, signed
from .oracle import array_volts

ROWS, NEURONS, TOP = 10, 3, 15
LEAK = 60e-9
WIRE = 40.0
WEIGHTS = signed(NEURONS, ROWS)
KAPPA = np.array([[15, -3, 0, 7, -11, 2, 0, 1, -6, 12], [0, 0, 0, 4, 15, 15, 14, -15, 0, -2]])
EXACT = KAPPA @ WEIGHTS.T.astype(int)


def harsh_circuit(*parts):
    """Wires and leak far worse than any real ones, so that a mistake in them cannot hide."""
    circuit = resized(load_circuit("array-128"), ROWS, 2 * NEURONS)
    wires = circuit.wires.model_copy(update={"word_line": quantity(WIRE, "ohm"), "bit_line": quantity(WIRE / 2, "ohm")})
    leak = circuit.leak.model_copy(update={"time_constant": quantity(LEAK * 1e9, "ns")})
    return only(circuit.model_copy(update={"wires": wires, "leak": leak}), *parts)


def programmed(*parts, full_scale=60.0):
    device = only(load_device("rram-wan"), "programming")
    return ArrayBank(device, harsh_circuit(*parts), 4).program(WEIGHTS, full_scale=full_scale)


def simulated(connection, kappa, *, leak=1e9, rail=np.inf):
    """Potentials by explicit integration of the circuit, from its cells and its data alone."""
    circuit = connection.circuit
    unit = unit_conductance(connection.layout, connection.device)
    volts_per_potential = circuit.swing.si / connection.full_scale
    wired = circuit.wires is not None
    volts = array_volts(
        connection.conductances[0, 0, 0],
        kappa,
        read_voltage=circuit.read_voltage.si,
        step=circuit.slot.si,
        window=TOP,
        capacity=circuit.read_voltage.si * circuit.slot.si * unit / volts_per_potential,
        word_ohm=WIRE if wired else 1e-6,
        bit_ohm=WIRE / 2 if wired else 1e-6,
        leak=leak,
        rail=rail,
    )
    return volts / volts_per_potential


def defined(connection, kappa=KAPPA, seed=0):
    return plain.integrate(connection, connection.conditions, kappa, np.random.default_rng(seed))


def worst(connection, **physics):
    """Largest difference of either way to read to the explicit integration, as a share of the largest potential."""
    expected = np.stack([simulated(connection, kappa, **physics) for kappa in KAPPA])
    off = [np.abs(found - expected).max() for found in (connection.integrate(KAPPA), defined(connection))]
    return max(off) / np.abs(expected).max()


def test_pulses_wires_and_leak_together():
    assert worst(programmed("wires", "leak"), leak=LEAK) < 1e-5


def test_each_of_them_alone():
    assert worst(programmed()) < 1e-5
    assert worst(programmed("wires")) < 1e-5
    assert worst(programmed("leak"), leak=LEAK) < 1e-5


def test_saturation_follows_the_path():
    connection = programmed("wires", "leak", "saturation", full_scale=3.0)
    assert worst(connection, leak=LEAK, rail=0.4) < 1e-5
    clipped_at_the_end = programmed("wires", "leak", full_scale=3.0).integrate(KAPPA).clip(-6, 6)
    assert not np.allclose(connection.integrate(KAPPA), clipped_at_the_end, rtol=0.01)


def test_capacitors_are_sized_for_the_pulses_given():
    connection = programmed()
    assert connection.sized_for(KAPPA).full_scale == np.abs(EXACT).max()
    assert connection.sized_for(0 * KAPPA).full_scale == 1
    ones = np.ones((1, 200), np.int8)
    assert ArrayBank.of("ideal", "ideal-128").program(ones).sized_for(ones).full_scale == 128


def test_what_was_computed_of_a_chip_serves_other_capacitors(monkeypatch):
    connection = programmed("wires", "comparator")
    connection.integrate(KAPPA)
    monkeypatch.setattr("matterhorn.msu.physics.effective_conductances", None)
    sized = connection.sized_for(KAPPA)
    assert sized.effective is connection.effective
    offset, own = (each.integrate(0 * KAPPA) for each in (connection, sized))
    assert np.allclose(own, offset * sized.full_scale / connection.full_scale, rtol=1e-4) and offset.all()
    assert np.allclose(sized.integrate(KAPPA) - own, connection.integrate(KAPPA) - offset, atol=1e-4)
    with pytest.raises(TypeError):
        connection.at(1).integrate(KAPPA)


def test_what_wires_and_drift_take_is_known_per_column():
    connection = programmed("wires")
    assert np.allclose(programmed().at(0).column_gains, 1, atol=0.15)
    assert (connection.column_gains < programmed().column_gains).all()
    device = only(load_device("rram-wan"), "drift")
    drifted = ArrayBank(device, harsh_circuit()).program(WEIGHTS).at(1e8)
    assert np.allclose(drifted.column_gains, 1e8**-0.03, rtol=1e-5, atol=0)
    slices = ArrayBank(only(load_device("rram-ye-28nm"), "drift"), load_circuit("ideal-128"))
    assert np.allclose(slices.program(signed(30, 300, top=7)).at(1e8).column_gains, 1e8**-0.03, rtol=1e-5, atol=0)


def test_a_rail_met_on_the_way_is_felt_at_the_end():
    """One long pulse up, many short ones down at the end: 14 up, stopped at 10, then down by 8 in the last step."""
    ones, circuit = np.ones((1, ROWS), np.int8), resized(only(load_circuit("array-128"), "saturation"), ROWS, 2)
    connection = ArrayBank(load_device("ideal"), circuit).program(ones, full_scale=5.0)
    kappa = np.array([[15] + [-1] * 9, [1] * 10])
    assert np.allclose(connection.integrate(kappa), [[2.0], [10.0]])
    assert np.allclose(defined(connection, kappa), [[2.0], [10.0]], rtol=1e-12)


def test_rails_that_are_never_reached_change_nothing():
    free, railed = programmed("leak", full_scale=1000.0), programmed("leak", "saturation", full_scale=1000.0)
    for read in (lambda connection: connection.integrate(KAPPA), defined):
        assert np.allclose(read(free), read(railed), rtol=1e-6, atol=1e-6)


def swapped(cells):
    return cells[..., 1::2] - cells[..., 0::2]


@pytest.mark.parametrize(
    ("target", "broken"),
    [
        ("matterhorn.msu.physics.difference", swapped),
        ("matterhorn.msu.plain.remembered", lambda lengths, rate: remembered(lengths, 2 * rate)),
        ("matterhorn.msu.plain.remembered", lambda lengths, rate: lengths),
        ("matterhorn.msu.physics.effective_conductances", lambda arrays, wires: arrays),
        ("matterhorn.msu.plain.pulse_lengths", lambda kappa, spread, rng: np.abs(kappa).astype(float)),
        ("matterhorn.msu.plain.to_tiles", lambda lengths, layout: lengths[:, ::-1][None]),
    ],
    ids=["sign of the pair", "time constant", "no leak", "no wires", "sign of the pulse", "rows upside down"],
)
def test_a_broken_part_shows(monkeypatch, target, broken):
    monkeypatch.setattr(target, broken)
    assert worst(programmed("wires", "leak"), leak=LEAK) > 1e-2


def test_exchanged_wires_show(monkeypatch):
    def exchanged(arrays, wires):
        solved = effective_conductance(arrays[0, 0, 0].astype(np.float64), wires.bit_line.si, wires.word_line.si)
        return solved[None, None, None]

    monkeypatch.setattr("matterhorn.msu.physics.effective_conductances", exchanged)
    assert worst(programmed("wires", "leak"), leak=LEAK) > 1e-3


def test_capacitor_mismatch_is_a_gain_per_neuron():
    circuit = only(load_circuit("array-128"), "mismatch")
    connection = ArrayBank(load_device("ideal"), circuit).program(np.ones((4000, 2), np.int8))
    found = connection.integrate(np.array([[15, 0], [7, 8]]))
    assert np.allclose(found[0], found[1])
    assert (found / 15).std() == pytest.approx(0.005, rel=0.05)


def test_offset_is_one_voltage_per_neuron():
    circuit = only(load_circuit("array-128"), "comparator")
    connection = ArrayBank(load_device("ideal"), circuit).program(np.ones((4000, 2), np.int8), full_scale=30.0)
    found = connection.integrate(np.array([[0, 0], [7, 8]]))
    assert np.allclose(found[0], found[1] - 15, atol=1e-5)
    assert found[0].std() == pytest.approx(1e-3 / 0.2 * 30, rel=0.05)


@pytest.mark.parametrize("how", ["compiled", "definition"])
def test_pulse_jitter_is_an_error_per_pulse_sent(how):
    circuit = only(load_circuit("array-128"), "jitter")
    connection = ArrayBank(load_device("ideal"), circuit).program(np.ones((1, 100), np.int8))
    kappa = np.zeros((4000, 100), np.int8)
    kappa[:, :30] = 5
    found = defined(connection, kappa) if how == "definition" else connection.integrate(kappa, np.random.default_rng(0))
    assert found.mean() == pytest.approx(150, abs=0.01)
    assert found.std() == pytest.approx(10e-12 / 2e-9 * math.sqrt(30), rel=0.06)


def test_a_fraction_of_a_level_is_a_shorter_pulse():
    circuit = load_circuit("array-128")
    connection = ArrayBank(load_device("ideal"), only(circuit, "jitter")).program(WEIGHTS, kappa_unit=8)
    assert connection.step == pytest.approx(circuit.slot.si / 8)
    assert connection.conditions.pulse_jitter == pytest.approx(8 * 10e-12 / 2e-9)


def test_time_to_digital_rounds_and_clips():
    """Eight bits over ± 64 are counts of a half."""
    circuit = only(load_circuit("array-128"), "conversion")
    straight = ArrayBank(load_device("ideal"), circuit).program(np.array([[1]], np.int8), full_scale=64.0)
    levels = np.array([[-200], [-65], [-64], [-3], [0], [2], [63], [64], [300]])
    expected = [-64, -64, -64, -3, 0, 2, 63, 63.5, 63.5]
    assert straight.integrate(levels)[:, 0].tolist() == defined(straight, levels)[:, 0].tolist() == expected
    coarse = ArrayBank(load_device("ideal"), circuit).program(np.array([[1]], np.int8), full_scale=4 * 128.0)
    assert coarse.integrate(np.array([[1], [2], [3], [5], [6], [-1]]))[:, 0].tolist() == [0, 0, 4, 4, 8, 0]
    connection = ArrayBank(load_device("ideal"), circuit).program(WEIGHTS, full_scale=64.0)
    assert np.abs(connection.integrate(KAPPA) - EXACT).max() <= 0.25
    clipping = ArrayBank(load_device("ideal"), circuit).program(WEIGHTS, full_scale=2.0)
    expected = np.where(EXACT > 0, 2 - 1 / 64, -2.0)[np.abs(EXACT) > 2]
    assert (clipping.integrate(KAPPA)[np.abs(EXACT) > 2] == expected).all()


@pytest.mark.parametrize("parts", [(), ("read",)])
def test_clock_jitter_of_a_converter_is_counts_of_noise(parts):
    circuit = only(load_circuit("array-128"), "jitter", "conversion")
    circuit = circuit.model_copy(update={"jitter": circuit.jitter.model_copy(update={"ramp": quantity(5, "ns")})})
    connection = ArrayBank(only(load_device("rram-wan"), *parts), circuit).program(WEIGHTS, full_scale=64.0)
    silence = np.zeros((3000, ROWS), np.int8)
    for found in (connection.integrate(silence, np.random.default_rng(0)), defined(connection, silence)):
        counts = found / 0.5
        assert counts.std() == pytest.approx(math.sqrt(5**2 + 1 / 12), rel=0.05)  # one count per ns, and rounding


def test_thresholds_need_not_be_even():
    thresholds = np.sort(np.random.default_rng(0).integers(-90, 90, (NEURONS, TOP)), axis=1)
    connection = ArrayBank(load_device("ideal"), harsh_circuit()).program(WEIGHTS)
    slots = connection.fire(KAPPA, Ramp(thresholds, Code.ttfs(4)))
    levels = (EXACT[..., None] >= thresholds).sum(-1)
    assert (slots == np.where(levels == 0, 255, TOP - levels)).all()
    assert (connection.fire(KAPPA[0], Ramp(thresholds, Code.ttfs(4))) == slots[0]).all()


def test_the_energy_bill_has_cells_and_drive_of_the_same_values():
    """Voltage, pulse, conductances and size of the chip with NeuRRAM's cell are those that compute here, and no more:
    its capacitors are not those of :func:`sized_for`, but 1 pF behind a current mirror. The cell of the default chip,
    1 MOhm, is in no device file (docs/energy.md says so)."""
    from matterhorn.energy.library import load as load_chip

    unit = load_chip("neurram-22nm").msu
    device, circuit = load_device("rram-wan"), load_circuit("array-128")
    assert unit.voltage.si == circuit.read_voltage.si
    assert unit.slot.si == pytest.approx(circuit.slot.si)
    assert (unit.g_off.si, unit.g_on.si) == pytest.approx((device.low, device.high))
    assert unit.rows.si == circuit.rows.si
    assert unit.columns.si == circuit.pairs
    assert unit.attenuation.si == 64


def test_the_bill_has_room_for_the_potentials_that_arrays_reach():
    """What it sizes capacitors for, from counts alone, holds what ideal arrays reach; a slot's energy is theirs too."""
    from matterhorn import Engine
    from matterhorn.coding import kappa
    from matterhorn.energy import as_traced
    from matterhorn.energy.computing import largest_potential, unit_lines
    from matterhorn.energy.library import load as load_chip
    from matterhorn.energy.study import map_trace
    from matterhorn.runtime.record import SlotRecorder
    from matterhorn.topology import SOURCE, STATIC, Site

    program, chip, recorder = small_program(k=2), load_chip("neurram-22nm"), SlotRecorder()
    batch = small_arrays()
    trace = Engine(program)(**batch, trace=True, watcher=recorder).trace
    bank, reached, billed = ArrayBank(load_device("rram-wan"), load_circuit("array-128")), [], []
    for a in as_traced(trace):
        if a.connection in STATIC:
            source = Site(a.block, SOURCE[a.connection])
            population = program.blocks[a.block].populations[source.part]
            sent = kappa(recorder.slots[source], population.code) // population.code.unit
            programmed = bank.program(program.blocks[a.block].connections[a.connection].weights)
            reached.append(programmed.sized_for(sent).full_scale)
            billed.append(largest_potential(a, chip.msu))
    assert max(reached) <= max(billed) <= 4 * max(reached)
    a, mapping = next(a for a in as_traced(trace) if a.connection == "ffn1"), map_trace(trace, chip, "msu")
    joules = {category: j for _, category, j in unit_lines(a, chip, mapping)}
    device, circuit = bank.device, bank.circuit
    slot = circuit.read_voltage.si * circuit.slot.si * (device.high + device.low)  # coulombs of a pair
    assert joules["msu_conduction"] == pytest.approx(a.kappa * a.fan * slot * chip.msu.supply.si)
