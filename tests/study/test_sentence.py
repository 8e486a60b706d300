"""Pulses of a real token: in the array as in the network."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from matterhorn.coding import kappa
from matterhorn.errors import InputError
from matterhorn.msu import load_circuit, load_device
from matterhorn.msu.spice import check
from matterhorn.program import load
from matterhorn.runtime import Engine, SlotRecorder
from matterhorn.study.sentence import real_trial
from matterhorn.topology import Site

TEXT = "A quiet, patient film."


@pytest.fixture(scope="module")
def program():
    return load("sst2")


def trial_of(program, connection="block.0.ffn1", token=2, size=(32, 16)):
    chip = load_device("rram-wan"), load_circuit("array-128")
    return real_trial(program, TEXT, connection, token, size, *chip, 0)


@pytest.mark.parametrize(("name", "token"), [("block.1.output", 3), ("block.5.key", 4), ("block.5.ffn2", 0)])
def test_the_array_is_driven_as_the_network_is(program, name, token):
    site, recorder = Site.parse(name), SlotRecorder()
    Engine(program, "exact")(**program.encode([TEXT]), watcher=recorder)
    source = {"output": "context", "key": "input", "ffn2": "intermediate"}[site.part]
    code = program.blocks[site.block].populations[source].code
    trial = trial_of(program, name, token)
    assert np.array_equal(trial.kappa, kappa(recorder.slots[Site(site.block, source)], code)[token, :32])
    weights = program.blocks[site.block].connections[site.part].weights[:8, :32]
    assert np.array_equal(trial.connection.weights, weights)
    assert trial.at(60).connection.seconds == 60


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="needs ngspice (Debian package ngspice)")
def test_ngspice_agrees_on_a_real_token(program):
    trial = trial_of(program)
    found = check(trial.connection, trial.kappa, trial.ramp)
    assert found.max_error_full_scale < 1e-3 and found.slots_different == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"connection": "block.9.ffn1"}, "no connection"),
        ({"connection": "block.0.qk"}, "no connection"),
        ({"token": 99}, "no token"),
        ({"connection": "block.5.ffn1", "token": 1}, "no token"),
        ({"size": (32, 7)}, "two"),
    ],
)
def test_bad_choices_are_refused(program, options, problem):
    with pytest.raises(InputError, match=problem):
        trial_of(program, **options)
