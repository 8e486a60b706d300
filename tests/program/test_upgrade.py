"""What earlier versions wrote is read by ``upgrade`` alone, and runs the same."""

from __future__ import annotations

import json

import pytest
from safetensors.numpy import load_file, save_file

from matterhorn.errors import InputError
from matterhorn.program import load
from matterhorn.program.upgrade import upgrade

from ..earlier import OLD, OLD_KEYS, as_format, as_format_3
from ..networks import small_network, small_program


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
    with pytest.raises(InputError, match="not one of an earlier version"):
        upgrade(tmp_path / "today", tmp_path / "new")
    with pytest.raises(InputError, match="already there"):
        upgrade(tmp_path / "today", tmp_path / "today")


SPOILED = [
    ("README.md", b"caf\xe9", "README.md: not UTF-8"),
    ("results.json", b"[" * 100_000, "results.json: nested too deeply"),
    ("results.json", b'{"a": NaN}', "NaN is not a finite number"),
    ("results.json", b"[]", "results.json: not a mapping"),
]


@pytest.mark.parametrize(("name", "content", "said"), SPOILED)
def test_what_lies_beside_an_old_program_is_read_as_strictly(tmp_path, name, content, said):
    small_program().save(tmp_path / "old")
    as_format_3(tmp_path / "old")
    (tmp_path / "old" / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        upgrade(tmp_path / "old", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize(
    "change",
    [{"sha256": [1]}, {"sha256": {"model.safetensors": 1}}, {"embeddings": 3}, {"task": 3}, {"id2label": {"a": "b"}},
     {"labels": [1, 2]}, {"weight_bits": "7"}, {"network": 1}, {"narrower": [1]}],
    ids=str,
)  # fmt: skip
def test_fields_of_an_old_config_are_named(tmp_path, number, change):
    small_program().save(tmp_path / "old")
    (as_format_3 if number == 3 else lambda folder: as_format(folder, 2))(tmp_path / "old")
    config = tmp_path / "old" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(InputError, match=f"config.json: {next(iter(change))}"):
        upgrade(tmp_path / "old", tmp_path / "new")
    assert not (tmp_path / "new").exists()
