"""Neurons against explicit integration in small time steps, and what happens when a part is broken."""

import math

import numpy as np
import pytest
import torch
from msu_oracle import array_volts

from matterhorn.coding import Code
from matterhorn.msu import ArrayBank, Ramp, load_circuit, load_device, only, resized
from matterhorn.msu.energy import read_energy
from matterhorn.msu.mapping import unit_conductance
from matterhorn.msu.pulses import remembered
from matterhorn.msu.readout import TimeToDigital, next_slots
from matterhorn.quantity import Quantity

ROWS, NEURONS, TOP = 10, 3, 15
LEAK = 60e-9
WIRE = 40.0


def quantity(value, unit):
    return Quantity(value=value, unit=unit, source="a test")


def harsh_circuit(*parts):
    """Wires and leak far worse than any real ones, so that a mistake in them cannot hide."""
    circuit = resized(load_circuit("array-128"), ROWS, 2 * NEURONS)
    wires = circuit.wires.model_copy(update={"word_line": quantity(WIRE, "ohm"), "bit_line": quantity(WIRE / 2, "ohm")})
    leak = circuit.leak.model_copy(update={"time_constant": quantity(LEAK * 1e9, "ns")})
    return only(circuit.model_copy(update={"wires": wires, "leak": leak}), *parts)


def weights():
    generator = torch.Generator().manual_seed(0)
    return (2 * torch.randint(2, (NEURONS, ROWS), generator=generator) - 1).to(torch.int8)


KAPPA = torch.tensor([[15, -3, 0, 7, -11, 2, 0, 1, -6, 12], [0, 0, 0, 4, 15, 15, 14, -15, 0, -2]])


def programmed(*parts, full_scale=60.0):
    device = only(load_device("rram-wan"), "programming")
    return ArrayBank(device, harsh_circuit(*parts), 4).program(weights(), full_scale=full_scale)


def simulated(connection, kappa, *, leak=1e9, rail=np.inf):
    """Potentials by explicit integration of the circuit, from its cells and its data alone."""
    circuit = connection.circuit
    unit = unit_conductance(connection.layout, connection.device)
    volts_per_potential = circuit.swing.si / connection.full_scale
    wired = circuit.wires is not None
    volts = array_volts(
        connection.conductances[0, 0, 0].numpy(),
        kappa.numpy(),
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


def worst(connection, **physics):
    """Largest difference to the explicit integration, as a share of the largest potential."""
    found = connection.integrate(KAPPA).double().numpy()
    expected = np.stack([simulated(connection, kappa, **physics) for kappa in KAPPA])
    return np.abs(found - expected).max() / np.abs(expected).max()


def test_pulses_wires_and_leak_together():
    assert worst(programmed("wires", "leak"), leak=LEAK) < 1e-5


def test_each_of_them_alone():
    assert worst(programmed()) < 1e-5
    assert worst(programmed("wires")) < 1e-5
    assert worst(programmed("leak"), leak=LEAK) < 1e-5


def test_saturation_follows_the_path():
    connection = programmed("wires", "leak", "saturation", full_scale=3.0)
    assert worst(connection, leak=LEAK, rail=0.4) < 1e-5
    free = programmed("wires", "leak", full_scale=3.0).integrate(KAPPA)
    clipped_at_the_end = free.clamp(-6, 6)
    assert not torch.allclose(connection.integrate(KAPPA), clipped_at_the_end, rtol=0.01)


def test_capacitors_are_sized_for_the_kernels_given():
    connection = programmed()
    exact = KAPPA.double() @ weights().double().T
    assert connection.sized_for(KAPPA).full_scale == exact.abs().max()
    assert connection.sized_for(torch.zeros(1, ROWS)).full_scale == 1
    split = ArrayBank.of("ideal", "ideal-128").program(torch.ones(1, 200, dtype=torch.int8))
    assert split.sized_for(torch.ones(1, 200)).full_scale == 128


def test_what_wires_and_drift_take_is_known_per_column():
    connection = programmed("wires")
    assert torch.allclose(programmed().at(0).column_gains, torch.ones(NEURONS), atol=0.15)
    assert bool((connection.column_gains < programmed().column_gains).all())
    device = only(load_device("rram-wan"), "drift")
    drifted = ArrayBank(device, harsh_circuit()).program(weights()).at(1e8)
    assert torch.allclose(drifted.column_gains, torch.tensor(1e8**-0.03), rtol=1e-5)


def test_a_rail_met_on_the_way_is_felt_at_the_end():
    """One long pulse up, many short ones down at the end: 14 up, stopped at 10, then down by 8 in the last step."""
    ones = torch.ones(1, ROWS, dtype=torch.int8)
    circuit = resized(only(load_circuit("array-128"), "saturation"), ROWS, 2)
    connection = ArrayBank(load_device("ideal"), circuit).program(ones, full_scale=5.0)
    kappa = torch.tensor([[15] + [-1] * 9, [1] * 10])
    assert torch.allclose(connection.integrate(kappa), torch.tensor([[2.0], [10.0]]))


def test_rails_that_are_never_reached_change_nothing():
    free, railed = programmed("leak", full_scale=1000.0), programmed("leak", "saturation", full_scale=1000.0)
    assert torch.allclose(free.integrate(KAPPA), railed.integrate(KAPPA), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("target", "broken"),
    [
        ("matterhorn.msu.connection.difference", lambda cells: cells[..., 1::2] - cells[..., 0::2]),
        ("matterhorn.msu.connection.remembered", lambda lengths, rate: remembered(lengths, 2 * rate)),
        ("matterhorn.msu.connection.remembered", lambda lengths, rate: lengths),
        ("matterhorn.msu.connection.effective_conductances", lambda arrays, wires: arrays),
        ("matterhorn.msu.connection.pulse_lengths", lambda kernel, spread, generator: kernel.abs().float()),
    ],
    ids=["sign of the pair", "time constant", "no leak", "no wires", "sign of the pulse"],
)
def test_a_broken_part_shows(monkeypatch, target, broken):
    monkeypatch.setattr(target, broken)
    assert worst(programmed("wires", "leak"), leak=LEAK) > 1e-2


def test_exchanged_wires_show(monkeypatch):
    from matterhorn.msu.wires import effective_conductance

    def exchanged(arrays, wires):
        solved = effective_conductance(arrays[0, 0, 0].double(), wires.bit_line.si, wires.word_line.si)
        return solved[None, None, None]

    monkeypatch.setattr("matterhorn.msu.connection.effective_conductances", exchanged)
    assert worst(programmed("wires", "leak"), leak=LEAK) > 1e-3


def test_capacitor_mismatch_is_a_gain_per_neuron():
    weights_ = torch.ones(4000, 2, dtype=torch.int8)
    circuit = only(load_circuit("array-128"), "mismatch")
    found = ArrayBank(load_device("ideal"), circuit).program(weights_).integrate(torch.tensor([[15.0, 0], [7.0, 8]]))
    assert torch.allclose(found[0], found[1])
    assert (found / 15).std().item() == pytest.approx(0.005, rel=0.05)


def test_offset_is_one_voltage_per_neuron():
    weights_ = torch.ones(4000, 2, dtype=torch.int8)
    circuit = only(load_circuit("array-128"), "comparator")
    connection = ArrayBank(load_device("ideal"), circuit).program(weights_, full_scale=30.0)
    found = connection.integrate(torch.tensor([[0.0, 0], [7.0, 8]]))
    assert torch.allclose(found[0], found[1] - 15, atol=1e-5)
    assert found[0].std().item() == pytest.approx(1e-3 / 0.2 * 30, rel=0.05)


def test_pulse_jitter_is_an_error_per_pulse_sent():
    circuit = only(load_circuit("array-128"), "jitter")
    connection = ArrayBank(load_device("ideal"), circuit).program(torch.ones(1, 100, dtype=torch.int8))
    kappa = torch.zeros(4000, 100)
    kappa[:, :30] = 5
    found = connection.integrate(kappa, torch.Generator().manual_seed(0))
    assert found.mean().item() == pytest.approx(150, abs=0.01)
    assert found.std().item() == pytest.approx(10e-12 / 2e-9 * math.sqrt(30), rel=0.06)


def test_a_fractional_kernel_step_is_a_shorter_pulse():
    circuit = load_circuit("array-128")
    connection = ArrayBank(load_device("ideal"), only(circuit, "jitter")).program(weights(), kernel_unit=8)
    assert connection.step == pytest.approx(circuit.slot.si / 8)
    assert connection.conditions.pulse_jitter == pytest.approx(8 * 10e-12 / 2e-9)


def test_time_to_digital_rounds_and_clips():
    convert = TimeToDigital(full_scale=8.0, counts=16)
    potentials = torch.tensor([-20.0, -8.0, -0.6, 0.4, 3.2, 7.4, 9.0])
    assert convert(potentials).tolist() == [-8, -8, -1, 0, 3, 7, 7]
    circuit = only(load_circuit("array-128"), "conversion")
    connection = ArrayBank(load_device("ideal"), circuit).program(weights(), full_scale=64.0)
    exact = KAPPA.double() @ weights().double().T
    assert (connection.integrate(KAPPA) - exact).abs().max() <= 0.25


@pytest.mark.parametrize("unit", [1, 8])
def test_ramp_jitter_moves_spikes_that_are_near_a_threshold(unit):
    circuit = resized(only(load_circuit("array-128"), "jitter"), 1, 1000)
    circuit = circuit.model_copy(
        update={"jitter": circuit.jitter.model_copy(update={"pulse": quantity(1, "fs"), "ramp": quantity(500, "ps")})}
    )
    connection = ArrayBank(load_device("ideal"), circuit).program(
        torch.ones(500, 1, dtype=torch.int8), kernel_unit=unit
    )
    ramp = Ramp.linear(torch.tensor(1.0 / unit), torch.tensor(0.25), Code.ttfs(4))
    slots = connection.fire(torch.full((10, 1), 8.0 * unit), ramp, torch.Generator().manual_seed(0))
    late_or_early = (slots != 7).double().mean().item()
    beyond = 0.5 * math.erfc(1 / math.sqrt(2)) + 0.5 * math.erfc(3 / math.sqrt(2))  # thresholds 1 and 3 spreads away
    assert late_or_early == pytest.approx(beyond, abs=0.02)


@pytest.mark.parametrize("parts", [(), ("read",)])
def test_clock_jitter_of_a_converter_is_counts_of_noise(parts):
    circuit = only(load_circuit("array-128"), "jitter", "conversion")
    circuit = circuit.model_copy(update={"jitter": circuit.jitter.model_copy(update={"ramp": quantity(5, "ns")})})
    connection = ArrayBank(only(load_device("rram-wan"), *parts), circuit).program(weights(), full_scale=64.0)
    found = connection.integrate(torch.zeros(3000, ROWS), torch.Generator().manual_seed(0))
    counts = found / 0.5
    assert counts.std().item() == pytest.approx(math.sqrt(5**2 + 1 / 12), rel=0.05)  # one count per ns, and rounding


def test_a_leaking_integrator_droops_while_the_ramp_falls():
    ramp = Ramp.linear(torch.tensor(1.0), torch.tensor(0.0), Code.ttfs(4))
    potentials = torch.arange(1.0, 15.0) - 0.49
    assert next_slots(potentials, ramp, 0.0).tolist() == list(range(14, 0, -1))
    expected = [next(s for s in range(16) if s == 15 or v * math.exp(-0.02 * (s + 1)) >= 14.5 - s) for v in potentials]
    found = next_slots(potentials, ramp, 0.02).tolist()
    assert [255 if s == 15 else s for s in expected] == found
    assert found != list(range(14, 0, -1))


def test_a_ramp_must_fall():
    from matterhorn.errors import InputError

    with pytest.raises(InputError, match="does not fall"):
        Ramp.linear(torch.tensor(-1.0), torch.tensor(0.0), Code.ttfs(4))
    with pytest.raises(InputError, match="15"):
        Ramp(torch.zeros(3, 7), Code.ttfs(4))


def test_thresholds_need_not_be_even():
    generator = torch.Generator().manual_seed(0)
    thresholds = torch.randint(-90, 90, (NEURONS, TOP), generator=generator).sort(1).values
    connection = ArrayBank(load_device("ideal"), harsh_circuit()).program(weights())
    slots = connection.fire(KAPPA, Ramp(thresholds, Code.ttfs(4)))
    levels = (KAPPA.double() @ weights().double().T)[..., None].ge(thresholds).sum(-1)
    assert torch.equal(slots, torch.where(levels == 0, 255, TOP - levels).to(torch.uint8))


def test_energy_comes_from_the_same_numbers():
    device, circuit = load_device("rram-ye-28nm"), load_circuit("ideal-128")
    found = read_energy(device, circuit)
    assert found.pair_step == pytest.approx(0.5**2 * 110e-6 * 2e-9)
    connection = ArrayBank(device, circuit).program(torch.ones(1, 4, dtype=torch.int8))
    power = sum(0.5**2 * connection.conductances[0, 0, 0, -1, :2])
    assert found.pair_step == pytest.approx(float(power) * connection.step, rel=0.5)
    assert found.integrator == pytest.approx(0.5 * 2e-9 * 90e-6 * 128 * 15 * 0.2)


def test_the_energy_bill_reads_the_same_array():
    """Voltage, pulse and conductances of the default chip's synapse unit are those that compute here."""
    from matterhorn.energy.library import load as load_chip

    unit = load_chip("rram-22nm").msu
    device, circuit = load_device("rram-wan"), load_circuit("array-128")
    assert unit.voltage.si == circuit.read_voltage.si
    assert unit.slot.si == pytest.approx(circuit.slot.si)
    assert (unit.g_off.si, unit.g_on.si) == pytest.approx((device.low, device.high))
    assert unit.rows.si == circuit.rows.si
    assert unit.columns.si == circuit.pairs
