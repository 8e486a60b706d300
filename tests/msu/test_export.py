import json

import numpy as np

from matterhorn.msu import ArrayBank, Correction, load_circuit, load_device
from matterhorn.msu.export import export_maps

from .drawn import integers


def rebuilt(folder, entry):
    """The weights that an index's arrays hold."""
    weights = np.zeros((entry["fan_out"], entry["fan_in"]))
    for array in entry["arrays"]:
        cells = np.load(folder / array["file"])["target"]
        pairs = (cells[:, 0::2] - cells[:, 1::2])[array["first_row"] :, : array["outputs"]]
        assert len(pairs) == array["inputs"]
        rows = slice(array["first_input"], array["first_input"] + array["inputs"])
        outputs = slice(array["first_output"], array["first_output"] + array["outputs"])
        weights[outputs, rows] += array["place_value"] * (pairs / entry["unit_conductance"]).T
    return weights


def test_the_maps_hold_the_weights(tmp_path):
    weights = integers(70, 200, top=7).astype(np.int8)
    connection = ArrayBank.of("rram-ye-28nm", "ideal-128", seed=2).program(weights, name="block.0.query")
    index = json.loads(export_maps([connection], tmp_path / "maps").read_text())
    assert (index["format"], index["unit"]) == (2, "S")
    entry = index["connections"][0]
    assert (entry["name"], entry["fan_in"], entry["fan_out"]) == ("block.0.query", 200, 70)
    assert np.allclose(rebuilt(tmp_path / "maps", entry), weights, atol=1e-5)


def test_chosen_rows_are_told(tmp_path):
    bank = ArrayBank(load_device("rram-wan"), load_circuit("ideal-128"), 2, correction=Correction(place_rows=True))
    weights = integers(70, 200, top=1).astype(np.int8)
    index = json.loads(export_maps([bank.program(weights, name="c")], tmp_path).read_text())
    entry = index["connections"][0]
    assert np.allclose(rebuilt(tmp_path, entry), weights[:, entry["input_order"]], atol=1e-5)


def test_what_the_chip_holds_is_there_too(tmp_path):
    connection = ArrayBank.of("pcm", "ideal-128", seed=2).program(np.ones((3, 5), np.int8), name="c").at(1e6)
    entry = json.loads(export_maps([connection], tmp_path).read_text())["connections"][0]
    held = np.load(tmp_path / entry["arrays"][0]["file"])["held"]
    assert np.allclose(held, connection.conductances[0, 0, 0], rtol=1e-6, atol=0)
    assert entry["seconds"] == 1e6
