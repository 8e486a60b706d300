"""A program's folder that was cut or altered is refused, and so is saving where something else is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from transformers import AutoTokenizer

from matterhorn.errors import InputError
from matterhorn.program import load
from matterhorn.program.files import load_classifier
from matterhorn.program.saving import save
from matterhorn.program.seal import seal
from matterhorn.program.text import read_tokenizer
from matterhorn.storage import Manifest, put_folder, read_manifest, sha256

from ..networks import small_tokenizer
from .test_saving import other_words, with_arrays


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_sealed(folder, **changes):
    """As :func:`edit`, by somebody who writes a manifest to it."""
    edit(folder, **changes)
    found = read_manifest(folder)
    files = dict(found.files) | {"config.json": sha256(folder / "config.json")}
    (folder / "manifest.json").write_text(Manifest(found.kind, files, found.about).text())


def edit_network(folder, **changes):
    edit_sealed(folder, network=json.loads((folder / "config.json").read_text())["network"] | changes)


def without(folder, name):
    """Leave a file out of the manifest."""
    found = read_manifest(folder)
    files = {other: content for other, content in found.files.items() if other != name}
    (folder / "manifest.json").write_text(Manifest(found.kind, files, found.about).text())


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


BAD = {
    "altered": (lambda f: flip(f / "model.safetensors"), "checksum"),
    "cut": (lambda f: (f / "embeddings.safetensors").write_bytes(b"1234"), "checksum"),
    "missing": (lambda f: (f / "model.safetensors").unlink(), "missing"),
    "no config": (lambda f: (f / "config.json").unlink(), "no program here"),
    "no json": (lambda f: (f / "config.json").write_text("{"), "not JSON"),
    "another kind": (lambda f: edit(f, model_type="bert"), "not a program"),
    "not converted": (lambda f: edit(f, model_type="matterhorn"), "matterhorn convert"),
    "an earlier version": (lambda f: edit(f, model_type="matterhorn-spiking", format=2), "matterhorn upgrade"),
    "another format": (lambda f: edit(f, format=99), "format 99"),
    "too wide": (lambda f: edit_network(f, dead_zone=9), "dead_zone"),
    "a misspelt key": (lambda f: edit_network(f, deadzone=1), "deadzone"),
    "another shape": (lambda f: edit_network(f, intermediate_size=32), "shape"),
    "altered code": (lambda f: (f / "modeling_matterhorn.py").write_text("import os"), "checksum"),
    "no labels": (lambda f: edit_sealed(f, labels=["one"]), "classifier"),
    "labels twice": (lambda f: edit_sealed(f, labels=["one", "one"]), r"config\.json: labels"),
    "other labels": (lambda f: edit(f, labels=["bad", "good"]), "checksum"),
    "format 3": (lambda f: edit(f, format=3), "matterhorn upgrade"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "missing"),
    "an empty manifest": (lambda f: (f / "manifest.json").write_text(Manifest("program").text()), "not in manifest"),
    "no arrays in it": (lambda f: without(f, "model.safetensors"), "not in manifest"),
    "no config in it": (lambda f: without(f, "config.json"), "not in manifest"),
    "no code in it": (lambda f: without(f, "modeling_matterhorn.py"), "not in manifest"),
    "a manifest by hand": (lambda f: (f / "manifest.json").write_text("{}"), "not as it was written"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "missing"),
    "another tokenizer": (lambda f: f.joinpath("tokenizer.json").write_text(other_words()), "other tokens"),
    "no tokenizer's file": (lambda f: (f / "tokenizer.json").write_text("{}"), "the tokenizer fails"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_folders_are_refused(folder, fault):
    spoil, message = BAD[fault]
    spoil(folder)
    with pytest.raises(InputError, match=message) as error:
        load(folder)
    assert str(folder) in str(error.value) and "\n" not in str(error.value)


READ = ("config.json", "manifest.json", "model.safetensors", "embeddings.safetensors", "modeling_matterhorn.py")


@pytest.mark.parametrize("name", READ)
def test_any_byte_that_is_read_counts(folder, name):
    whole, draw = (folder / name).read_bytes(), np.random.default_rng(0)
    for place in draw.integers(len(whole), size=20):
        changed = bytes([whole[place] ^ int(draw.integers(1, 256))])
        (folder / name).write_bytes(whole[:place] + changed + whole[place + 1 :])
        with pytest.raises(InputError):
            load(folder)
    (folder / name).write_bytes(whole)
    assert load(folder)


def test_what_lies_beside_does_not_count(folder):
    """A card, what a trainer leaves, and a tokenizer that was written anew by others."""
    right = load(folder)
    (folder / "README.md").write_text("mine")
    (folder / "training_args.bin").write_bytes(b"x")
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    again = load(folder)
    assert again.hash == right.hash
    assert again.encode(["abc x"])["input_ids"].tolist() == right.encode(["abc x"])["input_ids"].tolist()


def test_a_folder_is_sealed_anew_on_purpose_only(folder):
    right = load(folder).hash
    (folder / "config.json").write_text((folder / "config.json").read_text().replace('"LABEL_1"', '"up"'))
    with pytest.raises(InputError, match="checksum"):
        load(folder)
    assert seal(folder).hash == load(folder).hash != right
    assert load(folder).labels == ("LABEL_0", "up")


def test_only_todays_format_is_sealed(folder):
    edit(folder, format=3)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match=r"format: not a program of format 4; .*matterhorn upgrade"):
        seal(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_network_is_not_replaced_by_a_program(program, tmp_path):
    put_folder(tmp_path / "network", "network", lambda fresh: (fresh / "latent").write_text("weights"))
    with pytest.raises(InputError, match="of kind 'network', not 'program'"):
        program.save(tmp_path / "network")
    assert (tmp_path / "network" / "latent").read_text() == "weights"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tables", "../own-rows.safetensors"])
def test_embeddings_have_a_name_of_their_own(program, tmp_path, name):
    with pytest.raises(InputError, match="embeddings"):
        save(program, tmp_path / "own", embeddings=name)
    assert not list(tmp_path.iterdir())


def test_a_silent_level_out_of_range_is_refused(program):
    silent = program.arrays()["blocks.0.hidden.silent"].copy()
    silent[3] = 16
    with pytest.raises(InputError, match=r"blocks\.0\.hidden.*silent"):
        with_arrays(program, blocks__0__hidden__silent=silent, blocks__0__hidden__silent_value=8 * silent)


@pytest.mark.parametrize("text", ['{"model_type": "bert"}', "{"])
def test_saving_does_not_write_over_another_model(program, tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json: output: was not written by matterhorn"):
        program.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    with pytest.raises(InputError, match="not a folder"):
        program.save(tmp_path / "config.json")


def test_a_general_encoder_has_no_classifier():
    with pytest.raises(InputError, match="not a classifier"):
        load_classifier("embed-mini")


def test_a_token_beyond_reason_is_refused(tmp_path):
    """Its library would make a table as long as the number, and end the process where memory does."""
    path = tmp_path / "tokenizer.json"
    plain = json.loads(small_tokenizer().to_str())
    plain["model"]["vocab"]["word"] = 2**31
    path.write_text(json.dumps(plain))
    with pytest.raises(InputError, match=r"tokenizer.json: model.vocab: a token with number 2147483648"):
        read_tokenizer(path)


def with_rules(path, *rules):
    """A tokenizer whose normalizer replaces each pattern by its content."""
    plain = json.loads(small_tokenizer().to_str())
    listed = [{"type": "Replace", "pattern": pattern, "content": content} for pattern, content in rules]
    path.write_text(json.dumps(plain | {"normalizer": {"type": "Sequence", "normalizers": listed}}))
    return path


@pytest.mark.parametrize("rules", [[({"String": "a"}, "a" * 100)] * 2, [({"Regex": ""}, "a")] * 7])
def test_rules_that_multiply_a_text_are_refused(tmp_path, rules):
    """Two rules of 5 KB each made 20 million letters of one, before any limit of length could apply."""
    with pytest.raises(InputError, match=r"tokenizer.json: normalizer: rules that make a text up to .* times as long"):
        read_tokenizer(with_rules(tmp_path / "tokenizer.json", *rules))


def test_rules_that_keep_the_length_are_not(tmp_path):
    tokenizer = read_tokenizer(with_rules(tmp_path / "tokenizer.json", *[({"String": "a"}, "b")] * 9))
    assert tokenizer.normalizer.normalize_str("aa") == "bb"


def test_a_file_of_another_encoding_and_an_impossible_name_are_named_when_saving(program, folder, tmp_path):
    (folder / "tokenizer_config.json").write_bytes(b'{"x": "caf\xe9"}')
    with pytest.raises(InputError, match=r"tokenizer_config\.json: not UTF-8"):
        program.save(folder)
    with pytest.raises(InputError, match="not a valid path"):
        program.save(tmp_path / "a\0b")
