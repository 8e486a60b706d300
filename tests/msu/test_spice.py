"""The model against ngspice, which knows nothing of it."""

import shutil

import numpy as np
import pytest

from matterhorn.coding import SILENT, Code
from matterhorn.errors import InputError
from matterhorn.msu import Ramp, load_circuit, load_device, only
from matterhorn.msu.spice import array_circuit, check, interpret, netlist, simulate
from matterhorn.msu.trial import choose_trial, drawn_kappa, make_trial

from .drawn import quantity

needs_ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice missing: apt-get install ngspice")


def trial(rows=12, columns=8, *, device="rram-wan", circuit="array-128", seed=0, **changes):
    spec = load_circuit(circuit).model_copy(update=changes)
    return choose_trial(load_device(device), spec, (rows, columns), seed)


@needs_ngspice
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("device", ["rram-wan", "rram-milo", "pcm"])
def test_small_arrays_of_other_devices(device, seed):
    one = trial(device=device, seed=seed)
    found = check(one.connection.at(1e6), one.kappa, one.ramp)
    assert found.max_error_full_scale < 1e-5
    assert found.slots_different == 0


@needs_ngspice
def test_leak_and_wires_far_beyond_reason():
    plain = load_circuit("array-128")
    leak = plain.leak.model_copy(update={"time_constant": quantity(100, "ns")})
    thick = quantity(100, "ohm")
    one = trial(leak=leak, wires=plain.wires.model_copy(update={"word_line": thick, "bit_line": thick}))
    found = check(one.connection, one.kappa, one.ramp)
    assert found.max_error_full_scale < 1e-3
    assert found.slots_different == 0
    plain_answer = trial().connection.integrate(one.kappa)
    assert np.abs(one.connection.integrate(one.kappa) - plain_answer).max() > 0.05 * np.abs(plain_answer).max()


@needs_ngspice
def test_offsets_do_not_leak_with_the_charge():
    """Comparators that are off by a tenth of the swing, and a time constant of three windows."""
    spec, one_bit = load_circuit("array-128"), np.random.default_rng(0)
    leak = spec.leak.model_copy(update={"time_constant": quantity(100, "ns")})
    comparator = spec.comparator.model_copy(update={"offset": quantity(20, "mV")})
    spec = only(spec, "leak", "comparator").model_copy(update={"leak": leak, "comparator": comparator})
    for seed in range(2):
        weights = one_bit.choice([-1, 1], (40, 16)).astype(np.int8)
        kappa = one_bit.integers(-7, 8, 16).astype(np.int16)
        one = make_trial(weights, kappa, load_device("ideal"), spec, Code.ttfs(4), seed)
        found = check(one.connection, one.kappa, one.ramp)
        assert found.max_error_full_scale < 1e-5 and found.slots_different == 0


@needs_ngspice
@pytest.mark.parametrize("nanoseconds", [1000, 10000])
def test_a_neuron_fires_at_the_first_threshold_it_meets(nanoseconds):
    """A ramp that stands still while the charge leaks: what is met at its beginning is no longer at its end."""
    spec = only(load_circuit("array-128"), "leak")
    spec = spec.model_copy(update={"leak": spec.leak.model_copy(update={"time_constant": quantity(nanoseconds, "ns")})})
    code = Code.ttfs(4)
    one = make_trial(np.ones((2, 1), np.int8), np.array([8], np.int16), load_device("ideal"), spec, code, 0)
    kept = one.connection.integrate(one.kappa)[0] * np.exp(-2.5 * one.connection.conditions.droop)
    for thresholds in (
        np.concatenate([np.arange(-5, 1), np.full(9, kept)]),  # all plateau from its beginning on
        np.concatenate([np.arange(-5, 1), np.full(5, kept), kept + np.arange(1, 5)]),  # met on the way, left again
    ):
        ramp = Ramp(thresholds[None].astype(float), code)
        _, slots = simulate(array_circuit(one.connection, one.kappa, ramp))
        assert np.array_equal(one.connection.fire(one.kappa, ramp), slots)


@needs_ngspice
def test_nonlinear_cells():
    device = load_device("rram-wan").model_copy(update={"nonlinearity": quantity(4, "1/V")})
    thick = quantity(300, "ohm")
    circuit = load_circuit("array-128")
    wires = circuit.wires.model_copy(update={"word_line": thick, "bit_line": thick})
    circuit = circuit.model_copy(update={"wires": wires})
    bent, straight = (choose_trial(d, circuit, (8, 4), 0) for d in (device, load_device("rram-wan")))
    assert check(bent.connection, bent.kappa, bent.ramp).max_error_full_scale < 1e-4
    apart = bent.connection.integrate(bent.kappa) / straight.connection.integrate(bent.kappa) - 1
    assert np.abs(apart).max() > 1e-3


@needs_ngspice
@pytest.mark.parametrize(
    ("target", "broken"),
    [
        ("matterhorn.msu.physics.difference", lambda cells: cells[..., 1::2] - cells[..., 0::2]),
        ("matterhorn.msu.physics.effective_conductances", lambda arrays, wires: arrays),
        ("matterhorn.msu.plain.pulse_lengths", lambda kappa, spread, rng: -kappa.astype(float)),
    ],
    ids=["sign of the pair", "no wires", "sign of the pulse"],
)
def test_ngspice_sees_a_broken_part(monkeypatch, target, broken):
    monkeypatch.setattr(target, broken)
    one = trial()
    assert check(one.connection, one.kappa, one.ramp).max_error_full_scale > 1e-3


def test_spikes_are_read_off_margins():
    """Reading of ngspice's table: margins met before, between and after all thresholds, and in the dead zone."""
    one = trial(rows=4, columns=8)
    code = Code(4, np.int16(7), dead_zone=1)
    array = array_circuit(one.connection, one.kappa, type(one.ramp)(one.ramp.thresholds, code))
    time = array.read_time + array.circuit.slot.si * np.arange(17.0)
    met = np.array([-0.5, 2.5, 7.5, 99])  # in slots after the read-out
    margins = time[:, None] - (array.read_time + array.circuit.slot.si * met)
    table = np.column_stack([time, np.stack([np.full(margins.shape, 0.1), margins], axis=2).reshape(len(time), -1)])
    potentials, slots = interpret(array, table)
    assert np.allclose(potentials, 0.1 * array.volt)
    assert slots.tolist() == [0, 2, SILENT, 15]


def test_netlists_hold_every_cell_and_every_pulse():
    one = trial()
    array = array_circuit(one.connection, one.kappa, one.ramp)
    lines = netlist(array, "out.data").splitlines()
    assert sum(line.startswith("Rc") for line in lines) == np.count_nonzero(array.cells)
    assert sum(line.startswith(("Rw", "Rb")) for line in lines) == 2 * array.cells.size
    assert sum(line.startswith("Vrow") and "PWL" in line for line in lines) == np.count_nonzero(array.lengths)
    assert lines[-1] == ".end"


def test_no_ngspice_is_said_with_the_cure(monkeypatch):
    monkeypatch.setattr("matterhorn.msu.spice.shutil.which", lambda name: None)
    one = trial()
    with pytest.raises(InputError, match="apt-get install ngspice"):
        simulate(array_circuit(one.connection, one.kappa, one.ramp))


def test_floating_rows_cannot_be_written_down():
    wires = load_circuit("array-128").wires.model_copy(update={"undriven": "float"})
    one = trial(wires=wires)
    with pytest.raises(InputError, match="undriven"):
        array_circuit(one.connection, one.kappa, one.ramp)


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.ones(3), "integers"),
        (np.ones((2, 3), int), "integers"),
        (np.ones(5, int), "5 pulses"),
        (np.full(3, 9999), "512"),
    ],
)
def test_bad_pulses_are_refused(tmp_path, array, problem):
    path = tmp_path / "kappa.npy"
    np.save(path, array)
    with pytest.raises(InputError, match=problem):
        choose_trial(load_device("pcm"), load_circuit("array-128"), (3, 4), 0, kappa_file=path)


def test_files_that_are_no_arrays_are_refused(tmp_path):
    path = tmp_path / "kappa.npy"
    path.write_text("hello")
    for file in (path, tmp_path / "missing.npy"):
        with pytest.raises(InputError, match="npy"):
            choose_trial(load_device("pcm"), load_circuit("array-128"), (3, 4), 0, kappa_file=file)


def test_bit_lines_come_in_pairs():
    with pytest.raises(InputError, match="even"):
        choose_trial(load_device("pcm"), load_circuit("array-128"), (3, 5), 0)


def test_drawn_pulses_look_like_a_masked_code():
    kappa, code = drawn_kappa(2000, 0)
    assert 0.1 < (kappa == 0).mean() < 0.5
    assert (kappa < 0).any() and (kappa > 0).any()
    assert np.abs(kappa).max() <= code.top < SILENT
    assert np.array_equal(kappa, drawn_kappa(2000, 0)[0]) and not np.array_equal(kappa, drawn_kappa(2000, 1)[0])
