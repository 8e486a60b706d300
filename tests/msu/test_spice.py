"""The model against ngspice, which knows nothing of it."""

import json
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from matterhorn.cli.app import app
from matterhorn.coding import SILENT
from matterhorn.errors import InputError
from matterhorn.msu import load_circuit, load_device
from matterhorn.msu.netlist import array_circuit, netlist
from matterhorn.msu.spice import check, simulate
from matterhorn.msu.trial import choose_trial, drawn_pulses
from matterhorn.quantity import Quantity

needs_ngspice = pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice missing: apt-get install ngspice")


def trial(rows=12, columns=8, *, device="rram-wan", circuit="array-128", seed=0, **changes):
    spec = load_circuit(circuit).model_copy(update=changes)
    return choose_trial(load_device(device), spec, (rows, columns), seed)


@needs_ngspice
def test_64_by_32_with_wires_through_the_command():
    found = CliRunner().invoke(app, ["msu", "check", "--rows", "64", "--cols", "32", "--json"])
    assert found.exit_code == 0, found.output
    answer = json.loads(found.output)
    assert (answer["rows"], answer["cols"], answer["wires"]) == (64, 32, True)
    assert answer["max_error_full_scale"] < 1e-5  # asked for: 0.1 %
    assert answer["slots_different"] == 0


@needs_ngspice
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("device", ["rram-wan", "rram-milo", "pcm"])
def test_small_arrays_of_other_devices(device, seed):
    one = trial(device=device, seed=seed)
    found = check(one.connection.at(1e6), one.kernel, one.ramp)
    assert found.max_error_full_scale < 1e-5
    assert found.slots_different == 0


@needs_ngspice
def test_leak_and_wires_far_beyond_reason():
    plain = load_circuit("array-128")
    leak = plain.leak.model_copy(update={"time_constant": Quantity(value=100, unit="ns", source="a test")})
    thick = Quantity(value=100, unit="ohm", source="a test")
    one = trial(leak=leak, wires=plain.wires.model_copy(update={"word_line": thick, "bit_line": thick}))
    found = check(one.connection, one.kernel, one.ramp)
    assert found.max_error_full_scale < 1e-3
    assert found.slots_different == 0
    plain_answer = trial().connection.integrate(one.kernel[None])
    assert (one.connection.integrate(one.kernel[None]) - plain_answer).abs().max() > 0.05 * plain_answer.abs().max()


@needs_ngspice
def test_no_wires():
    found = CliRunner().invoke(app, ["msu", "check", "--rows", "16", "--cols", "8", "--no-wires", "--json"])
    answer = json.loads(found.output)
    assert answer["wires"] is False
    assert answer["max_error_full_scale"] < 1e-5


@needs_ngspice
def test_nonlinear_cells():
    device = load_device("rram-wan").model_copy(update={"nonlinearity": Quantity(value=4, unit="1/V", source="a test")})
    thick = Quantity(value=300, unit="ohm", source="a test")
    circuit = load_circuit("array-128")
    wires = circuit.wires.model_copy(update={"word_line": thick, "bit_line": thick})
    circuit = circuit.model_copy(update={"wires": wires})
    bent, straight = (choose_trial(d, circuit, (8, 4), 0) for d in (device, load_device("rram-wan")))
    assert check(bent.connection, bent.kernel, bent.ramp).max_error_full_scale < 1e-4
    apart = bent.connection.integrate(bent.kernel[None]) / straight.connection.integrate(bent.kernel[None]) - 1
    assert apart.abs().max() > 1e-3


@needs_ngspice
@pytest.mark.parametrize(
    ("target", "broken"),
    [
        ("matterhorn.msu.connection.difference", lambda cells: cells[..., 1::2] - cells[..., 0::2]),
        ("matterhorn.msu.connection.effective_conductances", lambda arrays, wires: arrays),
        ("matterhorn.msu.connection.pulse_lengths", lambda kernel, spread, generator: -kernel),
    ],
    ids=["sign of the pair", "no wires", "sign of the pulse"],
)
def test_ngspice_sees_a_broken_part(monkeypatch, target, broken):
    monkeypatch.setattr(target, broken)
    one = trial()
    assert check(one.connection, one.kernel, one.ramp).max_error_full_scale > 1e-3


def test_spikes_are_told_from_margins():
    """Reading of ngspice's table: before, between and after all thresholds, and in the dead zone."""
    from matterhorn.msu.spice import _first_rise

    time = np.array([0.0, 1.0, 2.0, 3.0])
    assert _first_rise(time, np.array([-1.0, -1.0, 1.0, 2.0]), 0.5) == pytest.approx(1.5)
    assert _first_rise(time, np.array([1.0, 1.0, 1.0, 1.0]), 0.5) == 0.5
    assert _first_rise(time, np.array([-1.0, -1.0, -1.0, -1.0]), 0.5) == 3.0


def test_netlists_hold_every_cell_and_every_pulse():
    one = trial()
    array = array_circuit(one.connection, one.kernel, one.ramp)
    lines = netlist(array, "out.data").splitlines()
    assert sum(line.startswith("Rc") for line in lines) == np.count_nonzero(array.cells)
    assert sum(line.startswith(("Rw", "Rb")) for line in lines) == 2 * array.cells.size
    assert sum(line.startswith("Vrow") and "PWL" in line for line in lines) == np.count_nonzero(array.lengths)
    assert lines[-1] == ".end"


def test_no_ngspice_is_said_with_the_cure(monkeypatch):
    monkeypatch.setattr("matterhorn.msu.spice.shutil.which", lambda name: None)
    one = trial()
    with pytest.raises(InputError, match="apt-get install ngspice"):
        simulate(array_circuit(one.connection, one.kernel, one.ramp))


def test_floating_rows_cannot_be_written_down():
    wires = load_circuit("array-128").wires.model_copy(update={"undriven": "float"})
    one = trial(wires=wires)
    with pytest.raises(InputError, match="undriven"):
        array_circuit(one.connection, one.kernel, one.ramp)


def test_pulses_and_weights_come_from_files(tmp_path):
    kernel, weights = tmp_path / "kernel.npy", tmp_path / "weights.npy"
    np.save(kernel, np.array([3, 0, -5]))
    np.save(weights, np.array([[1, -1, 1], [0, 7, -7]], dtype=np.int8))
    out = tmp_path / "mine.cir"
    arguments = ["msu", "netlist", "--out", str(out), "--kernel", str(kernel), "--weights", str(weights)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    text = out.read_text()
    assert "3 rows, 2 neurons" in text and "mine.data" in text


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
    path = tmp_path / "kernel.npy"
    np.save(path, array)
    with pytest.raises(InputError, match=problem):
        choose_trial(load_device("pcm"), load_circuit("array-128"), (3, 4), 0, kernel_file=path)


def test_files_that_are_no_arrays_are_refused(tmp_path):
    path = tmp_path / "kernel.npy"
    path.write_text("hello")
    for file in (path, tmp_path / "missing.npy"):
        with pytest.raises(InputError, match="npy"):
            choose_trial(load_device("pcm"), load_circuit("array-128"), (3, 4), 0, kernel_file=file)


def test_bit_lines_come_in_pairs():
    with pytest.raises(InputError, match="even"):
        choose_trial(load_device("pcm"), load_circuit("array-128"), (3, 5), 0)


def test_drawn_pulses_look_like_a_masked_code():
    pulses, code = drawn_pulses(2000, 0)
    assert 0.1 < (pulses == 0).double().mean() < 0.5
    assert bool((pulses < 0).any() and (pulses > 0).any())
    assert pulses.abs().max() <= code.top
    assert code.top < SILENT and torch.equal(pulses, drawn_pulses(2000, 0)[0])


def test_devices_are_listed():
    assert "rram-milo" in CliRunner().invoke(app, ["msu", "devices"]).output
    listed = json.loads(CliRunner().invoke(app, ["msu", "devices", "--json"]).output)
    assert listed["pcm"]["conductance_high"]["unit"] == "uS"
