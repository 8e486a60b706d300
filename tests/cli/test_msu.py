"""The commands of the synapse unit, but for studies."""

import json
import re
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from matterhorn.cli import app
from matterhorn.coding import kappa
from matterhorn.msu import ArrayBank
from matterhorn.program import load
from matterhorn.runtime import Engine, SlotRecorder
from matterhorn.runtime.analog import static_arrays
from matterhorn.topology import Site


def asked(*arguments):
    result = CliRunner().invoke(app, ["msu", *arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def refused(*arguments):
    return str(CliRunner().invoke(app, ["msu", *arguments]).exception)


def test_devices_are_listed():
    assert "rram-milo" in asked("devices")
    listed = json.loads(asked("devices", "--json"))
    assert listed["format"] == 1 and listed["devices"]["pcm"]["conductance_high"]["unit"] == "uS"


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice missing: apt-get install ngspice")
@pytest.mark.parametrize(
    ("size", "options", "wires"),
    [pytest.param((64, 32), [], True, marks=pytest.mark.slow), ((32, 16), [], True), ((16, 8), ["--no-wires"], False)],
)
def test_model_and_ngspice_are_compared(size, options, wires):
    answer = json.loads(asked("check", "--rows", str(size[0]), "--cols", str(size[1]), *options, "--json"))
    assert (answer["format"], answer["rows"], answer["cols"], answer["wires"]) == (1, *size, wires)
    assert answer["max_error_full_scale"] < 1e-5  # asked for: 0.1 %
    assert answer["slots_different"] == 0


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice missing: apt-get install ngspice")
def test_nothing_to_compare_is_said(tmp_path):
    kappa, weights = tmp_path / "kappa.npy", tmp_path / "weights.npy"
    small = ["check", "--rows", "2", "--cols", "2", "--kappa", str(kappa), "--weights", str(weights), "--no-wires"]
    np.save(weights, np.array([[1, 1]]))
    np.save(kappa, np.array([0, 0]))
    assert "charge no integrator" in refused(*small)
    np.save(kappa, np.array([3, -3]))
    assert "charge no integrator" in refused(*small, "--device", "ideal")
    for seconds in ("inf", "nan"):
        result = CliRunner().invoke(app, ["msu", "check", "--seconds", seconds])
        assert result.exit_code and "seconds" in str(result.exception) + result.output


def test_pulses_and_weights_come_from_files(tmp_path):
    kappa, weights, out = tmp_path / "kappa.npy", tmp_path / "weights.npy", tmp_path / "mine.cir"
    np.save(kappa, np.array([3, 0, -5]))
    np.save(weights, np.array([[1, -1, 1], [0, 7, -7]], dtype=np.int8))
    asked("netlist", "--out", str(out), "--kappa", str(kappa), "--weights", str(weights))
    assert "3 rows, 2 neurons" in out.read_text() and "mine.data" in out.read_text()


@pytest.mark.parametrize("name", ["block.2.output", "block.5.query"])
def test_maps_are_those_of_the_chip_that_is_evaluated(tmp_path, name):
    folder = tmp_path / "maps"
    answer = json.loads(asked("export", str(folder), "--connection", name, "--seed", "3", "--json"))
    entry = json.loads((folder / "index.json").read_text())["connections"][0]
    assert answer["arrays"] == len(entry["arrays"]) == len(list(folder.glob("*.npz")))
    weights = static_arrays(load("sst2"))[name][0].weights
    alone = ArrayBank.of("rram-wan", "array-128", seed=3).program(weights, name=name)
    held = np.load(folder / entry["arrays"][-1]["file"])["held"]
    assert np.array_equal(held, alone.conductances[-1, -1, -1])


def test_bad_input_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    assert "not a folder" in refused("export", str(tmp_path / "file"))
    assert "query-key-value" in refused("export", str(tmp_path / "maps"), "--connection", "block.0.query")
    (tmp_path / "requirements.txt").write_text("matterhorn-snn\n")
    assert "let it end in" in refused("netlist", "--out", str(tmp_path / "requirements.txt"))
    assert "no such folder" in refused("netlist", "--out", str(tmp_path / "none" / "array.cir"))


def test_a_sentence_drives_an_array(tmp_path):
    out = tmp_path / "a.cir"
    sentence = ["--text", "A quiet, patient film.", "--connection", "block.1.output", "--token", "3"]
    asked("netlist", *sentence, "--rows", "32", "--cols", "8", "--out", str(out))
    rows = {int(r): line for r, line in re.findall(r"^Vrow(\d+) (.*)$", out.read_text(), flags=re.M)}
    recorder, program = SlotRecorder(), load("sst2")
    Engine(program, "exact")(**program.encode(["A quiet, patient film."]), watcher=recorder)
    code = program.blocks[1].populations["context"].code
    pulses = kappa(recorder.slots[Site(1, "context")], code)[3, :32]
    assert [row for row, line in rows.items() if "PWL" in line] == np.flatnonzero(pulses).tolist() != []
    assert len(rows) == 32
    for row in np.flatnonzero(pulses):
        voltages = [float(value) for value in rows[row].split("PWL(")[1].rstrip(")").split()[1::2]]
        assert (max(voltages, key=abs) > 0) == (pulses[row] > 0)
    assert "brings its own" in refused("netlist", "--text", "a", "--kappa", "k.npy", "--out", str(out))
