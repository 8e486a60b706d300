from __future__ import annotations

import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, BertTokenizerFast, pipeline

from matterhorn.engines import SpikingForSequenceClassification
from matterhorn.errors import InputError
from matterhorn.models import MatterhornForSequenceClassification
from matterhorn.models.checkpoint import load_spiking, save_spiking, tokenizer_folder
from matterhorn.models.convert import convert

from ..conftest import small_batch, small_network

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *(chr(c) for c in range(97, 123)),
    *(f"##{chr(c)}" for c in range(97, 123)),
]


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "spiking"
    save_spiking(convert(small_network(k=2)), folder, task="sst2")
    return folder


def test_quantised_network_survives_saving(tmp_path):
    model = small_network(k=1, mean=True)
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert isinstance(again, MatterhornForSequenceClassification)
    with torch.no_grad():
        assert torch.equal(again(**small_batch()).logits, model(**small_batch()).logits)


def test_spiking_network_survives_saving(checkpoint):
    network = convert(small_network(k=2))
    again = load_spiking(checkpoint)
    for name, value in network.state_dict().items():
        other = again.state_dict()[name]
        if name.endswith("thresholds"):  # out of reach stays out of reach, whatever the number
            reachable = value.abs() < 2**15 - 1
            value, other = value[reachable], other[reachable]
        assert torch.equal(value, other), name


def test_narrower_dead_zones_survive_conversion_and_a_new_width(tmp_path):
    model = small_network(k=3, narrower={"probabilities": 1})
    zones = {name: population.dead_zone for name, population in model.populations().items()}
    assert zones["block.0.probabilities"] == 1 and zones["block.0.input"] == zones["block.1.middle"] == 3
    save_spiking(convert(model), tmp_path / "m", task=None)
    populations = load_spiking(tmp_path / "m").blocks[0].populations()
    assert populations["probabilities"].code.dead_zone == 1 and populations["mixed"].code.dead_zone == 3
    model.set_dead_zone(0)
    assert {population.dead_zone for population in model.populations().values()} == {0}


@pytest.mark.parametrize("narrower", [{"probabilities": 9}, {"nothing": 1}, {"input": -1}])
def test_impossible_narrower_dead_zones_are_refused(narrower):
    with pytest.raises(InputError, match="narrower"):
        small_network(narrower=narrower)


def test_auto_class_and_pipeline_run_spikes(checkpoint):
    (checkpoint / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = BertTokenizerFast(str(checkpoint / "vocab.txt"))
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint)
    assert isinstance(model, SpikingForSequenceClassification)
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer)
    exact = classify(["abc def", "xyz"])
    model.engine = "stepped"
    assert classify(["abc def", "xyz"]) == exact
    assert {row["label"] for row in exact} <= {"LABEL_0", "LABEL_1"}


def test_saving_again_gives_the_same_network(checkpoint, tmp_path):
    model = SpikingForSequenceClassification.from_pretrained(checkpoint)
    model.save_pretrained(tmp_path / "again")
    again = SpikingForSequenceClassification.from_pretrained(tmp_path / "again")
    assert torch.equal(again(**small_batch()).logits, model(**small_batch()).logits)


def test_checkpoints_of_format_1_are_still_read(checkpoint):
    network, file, config = load_spiking(checkpoint), checkpoint / "model.safetensors", checkpoint / "config.json"
    tensors, state = load_file(file), network.state_dict()
    packed = {name.removesuffix(".ends") for name in tensors if name.endswith(".ends")}
    assert packed
    plain = {k: v for k, v in tensors.items() if not k.endswith((".ends", ".off"))} | {k: state[k] for k in packed}
    wide = {k: state[k] for k in plain if k.endswith((".silent", ".reads", ".offset"))}
    save_file(plain | wide, file)
    told = json.loads(config.read_text())
    told |= {"format": 1, "sha256": told["sha256"] | {file.name: hashlib.sha256(file.read_bytes()).hexdigest()}}
    config.write_text(json.dumps(told))
    assert all(torch.equal(value, state[name]) for name, value in load_spiking(checkpoint).state_dict().items())


def test_a_tokenizer_lies_beside_shared_embeddings_unless_it_is_another(tmp_path):
    network, source, shared = convert(small_network()), tmp_path / "tokenizer.json", "../shared/tables.safetensors"
    for name, text, place in (("one", "{}", "shared"), ("two", "{ }", "shared"), ("three", '{"a": 1}', "three")):
        source.write_text(text)
        save_spiking(network, tmp_path / name, task=None, embeddings=shared, extra=[source])
        assert tokenizer_folder(tmp_path / name) == tmp_path / place
        assert (tmp_path / name / "tokenizer.json").is_file() == (place == name)
    save_spiking(network, tmp_path / "alone", task=None, extra=[source])
    assert tokenizer_folder(tmp_path / "alone") == tmp_path / "alone"


def test_embeddings_can_be_shared(tmp_path):
    network = convert(small_network())
    for name in ("one", "two"):
        save_spiking(network, tmp_path / name, task=None, embeddings="../shared/tables.safetensors")
    assert {p.name for p in (tmp_path / "one").iterdir()} == {"config.json", "model.safetensors"}
    assert tokenizer_folder(tmp_path / "one") == tmp_path / "shared"
    assert torch.equal(load_spiking(tmp_path / "two").embeddings.word, network.embeddings.word)


def test_of_shared_embeddings_only_the_rows_that_differ_are_kept(tmp_path):
    network = convert(small_network())
    save_spiking(network, tmp_path / "one", task=None, embeddings="../shared/tables.safetensors")
    network.embeddings.word[[3, 5]] += 1
    network.embeddings.norm.bias.data[2] += 0.5
    save_spiking(network, tmp_path / "two", task=None, embeddings="../shared/tables.safetensors")
    own = load_file(tmp_path / "two" / "own-rows.safetensors")
    assert own["word.rows"].tolist() == [3, 5] and own["norm.bias.rows"].tolist() == [2] and len(own) == 4
    again = load_spiking(tmp_path / "two").embeddings.state_dict()
    assert all(torch.equal(again[name], value) for name, value in network.embeddings.state_dict().items())
    assert not torch.equal(again["word"], load_spiking(tmp_path / "one").embeddings.word)
    (tmp_path / "two" / "own-rows.safetensors").unlink()
    with pytest.raises(InputError, match=r"own-rows\.safetensors.*missing"):
        load_spiking(tmp_path / "two")


def test_embeddings_of_another_shape_cannot_be_shared(tmp_path):
    network = convert(small_network())
    save_spiking(network, tmp_path / "one", task=None, embeddings="../shared/tables.safetensors")
    network.embeddings.word = network.embeddings.word[1:]
    with pytest.raises(InputError, match="another kind"):
        save_spiking(network, tmp_path / "two", task=None, embeddings="../shared/tables.safetensors")
    assert not (tmp_path / "two").exists()


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


BAD = {
    "altered": (lambda f: flip(f / "model.safetensors"), "checksum"),
    "cut": (lambda f: cut(f / "embeddings.safetensors"), "checksum"),
    "missing": (lambda f: (f / "model.safetensors").unlink(), "missing"),
    "no config": (lambda f: (f / "config.json").unlink(), "no checkpoint here"),
    "no json": (lambda f: (f / "config.json").write_text("{"), "not JSON"),
    "another kind": (lambda f: edit(f, model_type="bert"), "not a spiking one"),
    "not converted": (lambda f: edit(f, model_type="matterhorn"), "matterhorn convert"),
    "another format": (lambda f: edit(f, format=99), "format"),
    "too wide": (lambda f: edit(f, dead_zone=9), "dead_zone"),
    "another shape": (lambda f: edit(f, intermediate_size=32), "shape"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_checkpoints_are_refused(checkpoint, fault):
    spoil, message = BAD[fault]
    spoil(checkpoint)
    with pytest.raises(InputError, match=message) as error:
        load_spiking(checkpoint)
    assert str(checkpoint) in str(error.value)


def test_a_silent_level_out_of_range_is_refused(tmp_path):
    network = convert(small_network())
    network.blocks[0].hidden.silent[3] = 16
    save_spiking(network, tmp_path / "bad", task=None)
    with pytest.raises(InputError, match=r"block\.0\.hidden.*silent"):
        load_spiking(tmp_path / "bad")


def test_saving_replaces_at_once(checkpoint):
    before = sorted(p.name for p in checkpoint.iterdir())
    save_spiking(convert(small_network(k=1)), checkpoint, task="sst2")
    assert sorted(p.name for p in checkpoint.iterdir()) == before
    assert load_spiking(checkpoint).config.dead_zone == 1
    assert not list(checkpoint.parent.glob("*.tmp"))
    shutil.rmtree(checkpoint)
