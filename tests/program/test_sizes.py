"""Packed arrays are refused by their names, types and shapes before anything is unpacked."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from matterhorn.errors import InputError
from matterhorn.program import find, load, shipped
from matterhorn.program.config import Config
from matterhorn.program.disk import to_disk
from matterhorn.program.files import CONFIG_FILE, config_of, read_config
from matterhorn.program.sizes import check_packed
from matterhorn.reading import read_arrays
from matterhorn.storage import Manifest, read_manifest, sha256

from ..networks import small_program

FEW = np.zeros((100_000, 0), np.uint8)


@pytest.mark.parametrize("weights", ["int1", "ternary", "int2", "int4"])
def test_what_is_stored_passes(weights, tmp_path):
    program = small_program(weights=weights)
    check_packed(to_disk(dict(program.arrays()), program.config), program.config, tmp_path)


def test_what_is_shipped_passes():
    for folder in map(find, shipped()):
        config = config_of(read_config(folder)["network"], folder / CONFIG_FILE)
        check_packed(read_arrays(folder / "model.safetensors"), config, folder)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("blocks.9.query.weights", FEW),
        ("blocks.0.query.weights", FEW),
        ("mine.ffn1.weights", FEW),
        ("blocks.0.query.weights", np.zeros((32, 4), np.int32)),
        ("blocks.0.hidden.thresholds.off", FEW),
        ("blocks.0.hidden.thresholds.ends", np.zeros((100_000, 2), np.int32)),
        ("blocks.7.hidden.thresholds.ends", np.zeros((32, 2), np.int32)),
    ],
)
def test_a_few_bytes_that_claim_to_be_large_are_not_unpacked(tmp_path, monkeypatch, name, array):
    small_program().save(tmp_path)
    path = tmp_path / "model.safetensors"
    save_file(load_file(path) | {name: array}, path)
    found = read_manifest(tmp_path)
    files = {**found.files, path.name: sha256(path)}
    (tmp_path / "manifest.json").write_text(Manifest(found.kind, files, found.about).text())
    monkeypatch.setattr("matterhorn.program.files.from_disk", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(
        InputError, match=rf"model\.safetensors: {name}: (not an array of such a program|.* instead of)"
    ):
        load(tmp_path)


@pytest.mark.parametrize("blocks, heads", [(1, 1024), (1000, 16)])
def test_position_biases_beyond_reason_are_refused(tmp_path, blocks, heads):
    """A megabyte of positions would stand for a hundred, in each of many small blocks."""
    sizes = {"hidden_size": 1024, "num_attention_heads": heads, "max_position_embeddings": 2**20}
    sizes |= {"num_hidden_layers": blocks}
    with pytest.raises(InputError, match="position biases, at most"):
        check_packed({}, Config(**sizes, relative_distance=1), tmp_path)
