"""Pulses of a real token: in the netlist as in the network."""

from __future__ import annotations

import re
import shutil

import pytest
import torch
from typer.testing import CliRunner

from matterhorn.cli import app
from matterhorn.coding import kernel
from matterhorn.engines import ExactEngine
from matterhorn.engines.answer import load_tokenizer, record_slots
from matterhorn.models.checkpoint import load_spiking
from matterhorn.msu import load_circuit, load_device
from matterhorn.msu.spice import check
from matterhorn.study.sentence import real_array
from matterhorn.zoo import find

TEXT = "A quiet, patient film."


@pytest.fixture(scope="module")
def shipped():
    return load_spiking(find("sst2")), load_tokenizer(find("sst2"))


def test_the_netlist_holds_the_pulses_of_the_token(shipped, tmp_path):
    out = tmp_path / "a.cir"
    size = ["--rows", "32", "--cols", "8"]
    arguments = ["msu", "netlist", "--text", TEXT, "--connection", "block.1.output", "--token", "3", "--out", str(out)]
    result = CliRunner().invoke(app, arguments + size)
    assert result.exit_code == 0, result.exception
    network, tokenizer = shipped
    slots = record_slots(network, tokenizer, TEXT, ExactEngine()).slots["block.1.mixed"]
    kappa = kernel(slots, network.blocks[1].mixed.code)[0, 3, :32]
    rows = {int(r): line for r, line in re.findall(r"^Vrow(\d+) (.*)$", out.read_text(), flags=re.M)}
    driven = [row for row, line in rows.items() if "PWL" in line]
    assert driven == kappa.nonzero()[:, 0].tolist() and len(rows) == 32 and driven
    for row in driven:
        voltages = [float(value) for value in rows[row].split("PWL(")[1].rstrip(")").split()[1::2]]
        assert (max(voltages, key=abs) > 0) == bool(kappa[row] > 0)


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="needs ngspice (Debian package ngspice)")
def test_ngspice_agrees_on_a_real_token(shipped):
    array = real_array(*shipped, TEXT, "block.0.ffn1", 2, (64, 32))
    assert torch.equal(array.weights, shipped[0].blocks[0].ffn1.weights[:16, :64])
    trial = array.trial(load_device("rram-wan"), load_circuit("array-128"), 0, 0.0)
    found = check(trial.connection, trial.kernel, trial.ramp)
    assert found.max_error_full_scale < 1e-3 and found.slots_different == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--connection", "block.9.ffn1"], "no connection"),
        (["--connection", "block.0.scores"], "no connection"),
        (["--token", "99"], "no token"),
        (["--cols", "7"], "two"),
        (["--kernel", "k.npy"], "brings its own"),
    ],
)
def test_bad_choices_are_refused(options, problem, tmp_path):
    arguments = ["msu", "netlist", "--text", TEXT, "--out", str(tmp_path / "a.cir"), *options]
    assert problem in str(CliRunner().invoke(app, arguments).exception)
