import json

import numpy as np
import torch

from matterhorn.msu import ArrayBank
from matterhorn.msu.export import export_maps


def test_the_maps_hold_the_weights(tmp_path):
    generator = torch.Generator().manual_seed(0)
    weights = torch.randint(-7, 8, (70, 200), generator=generator).to(torch.int8)
    connection = ArrayBank.of("rram-ye-28nm", "ideal-128", seed=2).program(weights, name="block.0.query")
    index = json.loads(export_maps([connection], tmp_path / "maps").read_text())
    assert index["unit"] == "S"
    entry = index["connections"][0]
    assert (entry["name"], entry["fan_in"], entry["fan_out"]) == ("block.0.query", 200, 70)
    rebuilt = np.zeros((70, 200))
    for array in entry["arrays"]:
        cells = np.load(tmp_path / "maps" / array["file"])["target"]
        pairs = (cells[:, 0::2] - cells[:, 1::2])[array["first_row"] :, : array["outputs"]]
        assert len(pairs) == array["inputs"]
        rows = slice(array["first_input"], array["first_input"] + array["inputs"])
        outputs = slice(array["first_output"], array["first_output"] + array["outputs"])
        rebuilt[outputs, rows] += array["place_value"] * (pairs / entry["unit_conductance"]).T
    assert np.allclose(rebuilt, weights.numpy(), atol=1e-5)


def test_what_the_chip_holds_is_there_too(tmp_path):
    connection = ArrayBank.of("pcm", "ideal-128", seed=2).program(torch.ones(3, 5, dtype=torch.int8), name="c").at(1e6)
    entry = json.loads(export_maps([connection], tmp_path).read_text())["connections"][0]
    held = np.load(tmp_path / entry["arrays"][0]["file"])["held"]
    assert np.allclose(held, connection.conductances[0, 0, 0].numpy())
    assert entry["seconds"] == 1e6
