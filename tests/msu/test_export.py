import json

import numpy as np
import torch
from typer.testing import CliRunner

from matterhorn.cli import app
from matterhorn.engines.analog import static_connections
from matterhorn.models.checkpoint import load_spiking
from matterhorn.msu import ArrayBank
from matterhorn.msu.export import export_maps
from matterhorn.zoo import find


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


def test_the_command_writes_the_cells_of_the_chip_that_is_evaluated(tmp_path):
    folder, name = tmp_path / "maps", "block.2.output"
    arguments = ["msu", "export", str(folder), "--connection", name, "--seed", "3", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    entry = json.loads((folder / "index.json").read_text())["connections"][0]
    assert answer["arrays"] == len(entry["arrays"]) == len(list(folder.glob("*.npz")))
    weights = static_connections(load_spiking(find("sst2")))[name][0].weights
    alone = ArrayBank.of("rram-wan", "array-128", seed=3).program(weights, name=name)
    held = np.load(folder / entry["arrays"][-1]["file"])["held"]
    assert np.allclose(held, alone.conductances[-1, -1, -1].numpy())


def test_bad_input_of_the_commands_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for options, problem in (
        (["export", str(tmp_path / "file")], "not a folder"),
        (["export", str(tmp_path), "--connection", "block.0.query"], "query-key-value"),
        (["netlist", "--out", str(tmp_path / "none" / "array.cir")], "no such folder"),
    ):
        assert problem in str(CliRunner().invoke(app, ["msu", *options]).exception)
