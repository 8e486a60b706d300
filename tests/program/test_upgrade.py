"""What earlier versions wrote is read by ``upgrade`` alone, and runs the same."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from matterhorn.errors import InputError
from matterhorn.program import load
from matterhorn.program.upgrade import upgrade
from matterhorn.storage import sha256

from ..networks import small_network, small_program

OLD = {"context": "mixed", "intermediate": "middle", "silent_value": "reads"}
OLD_KEYS = {"weights": "weight_bits", "kv_bits": "stored_bits", "dead_zones": "narrower"}


def old_name(name: str) -> str:
    """An array's name in format 2."""
    for now, before in OLD.items():
        name = re.sub(rf"\b{now}\b", before, name)
    sources = "input|queries|probabilities|mixed|hidden|middle|keys|values"
    return re.sub(rf".({sources}).scale$", r".\1.step", name)


def as_format(folder, number):
    """Turn a program's folder into what format 1 or 2 was."""
    plain = json.loads((folder / "config.json").read_text())
    file = folder / "model.safetensors"
    stored = load_file(file)
    if number == 1:  # nothing was packed but weights
        whole = load(folder).arrays()
        stored = {k: v for k, v in stored.items() if k.endswith("weights") or k.split(".")[-1] not in ("ends", "off")}
        stored = {k: v if k.endswith("weights") else whole[k] for k, v in stored.items()}
        stored |= {k: v for k, v in whole.items() if k.endswith("thresholds")}
    save_file({old_name(k): np.ascontiguousarray(v) if v.ndim else v for k, v in stored.items()}, file)
    network = {OLD_KEYS.get(k, k): v for k, v in plain.pop("network").items() if k != "first_only"}
    network["weight_bits"] = {"int1": "1", "ternary": "ternary", "int4": "4"}[network["weight_bits"]]
    network["narrower"] = {old_name(k): v for k, v in network["narrower"].items()}
    labels = {str(i): name for i, name in enumerate(plain.pop("labels"))}
    plain |= {"format": number, "model_type": "matterhorn-spiking", "id2label": labels, **network}
    unseal(folder, plain)


def unseal(folder, plain):
    """Checksums in the config, as before format 4, and no manifest."""
    sums = {path.name: sha256(path) for path in folder.glob("*.safetensors")}
    (folder / "config.json").write_text(json.dumps(plain | {"sha256": sums}))
    (folder / "manifest.json").unlink()


def as_format_3(folder):
    unseal(folder, json.loads((folder / "config.json").read_text()) | {"format": 3})


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("options", [{"k": 2, "mean": True, "dead_zones": {"context": 1}}, {"weights": "ternary"}])
def test_programs_of_earlier_formats(tmp_path, number, options):
    small_program(**options).save(tmp_path / "old")
    right = load(tmp_path / "old")
    as_format(tmp_path / "old", number)
    with pytest.raises(InputError, match="matterhorn upgrade"):
        load(tmp_path / "old")
    told = f"a program of format {number}, which had no checksum of config.json, tokenizer.json"
    assert upgrade(tmp_path / "old", tmp_path / "new") == told
    assert load(tmp_path / "new").hash == right.hash


def test_programs_of_format_3(tmp_path):
    """Checksums were in the config; results did not say of which program they are."""
    right = small_program(k=1)
    right.save(tmp_path / "old")
    as_format_3(tmp_path / "old")
    (tmp_path / "old" / "results.json").write_text('{"task": "sst2"}')
    with pytest.raises(InputError, match="matterhorn upgrade"):
        load(tmp_path / "old")
    told = "a program of format 3, which had no checksum of config.json, tokenizer.json, results.json"
    assert upgrade(tmp_path / "old", tmp_path / "new") == told
    assert load(tmp_path / "new").hash == right.hash
    assert json.loads((tmp_path / "new" / "results.json").read_text()) == {"task": "sst2", "program": right.hash}
    plain = json.loads((tmp_path / "old" / "config.json").read_text()) | {"sha256": {}}
    (tmp_path / "old" / "config.json").write_text(json.dumps(plain))
    assert "model.safetensors" in upgrade(tmp_path / "old", tmp_path / "newer")


@pytest.mark.parametrize("lay", [lambda folder: as_format(folder, 2), as_format_3], ids=["2", "3"])
def test_an_altered_old_program_is_refused(tmp_path, lay):
    small_program().save(tmp_path / "old")
    lay(tmp_path / "old")
    with (tmp_path / "old" / "model.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(InputError, match="altered"):
        upgrade(tmp_path / "old", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_quantized_networks_of_earlier_versions(tmp_path):
    import torch

    from matterhorn.models import QuantizedForSequenceClassification

    network = small_network(k=1)
    network.save_pretrained(tmp_path / "old")
    file, config = tmp_path / "old" / "model.safetensors", tmp_path / "old" / "config.json"
    attention = ("input", "query", "key", "value", "queries", "keys", "values", "probabilities", "mixed", "output")

    def before(name: str) -> str:
        first, number, *parts = name.split(".")
        if first != "blocks":
            return name
        if parts[-1] == "scale":
            parts[-1] = "step"
        parts = [OLD.get(part, part) for part in parts]
        if parts[0] == "hidden":
            parts[0] = "input"
            parts.insert(0, "feed_forward")
        elif parts[0] in (*attention, "middle", "ffn1", "ffn2"):
            parts.insert(0, "attention" if parts[0] in attention else "feed_forward")
        return ".".join([first, number, *parts])

    save_file({before(k): v for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
    plain = {OLD_KEYS.get(k, k): v for k, v in json.loads(config.read_text()).items()} | {"weight_bits": "1"}
    config.write_text(json.dumps(plain))
    assert upgrade(tmp_path / "old", tmp_path / "new") == "a quantized network, which has no checksums"
    again = QuantizedForSequenceClassification.from_pretrained(tmp_path / "new").eval()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())


def test_what_is_none_of_ours_is_refused(tmp_path):
    with pytest.raises(InputError, match="no network here"):
        upgrade(tmp_path, tmp_path / "new")
    small_program().save(tmp_path / "today")
    with pytest.raises(InputError, match="of today"):
        upgrade(tmp_path / "today", tmp_path / "new")
    with pytest.raises(InputError, match="already there"):
        upgrade(tmp_path / "today", tmp_path / "today")
