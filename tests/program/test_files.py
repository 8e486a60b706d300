"""A program's folder: written whole, read back equal, refused where it was cut or altered."""

from __future__ import annotations

import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoTokenizer

from matterhorn.errors import InputError
from matterhorn.models import convert, quantize
from matterhorn.program import Program, find, load, shipped
from matterhorn.program.disk import FAR, from_disk, to_disk
from matterhorn.program.files import load_classifier
from matterhorn.program.packing import pack, pack_ternary, unpack_ternary
from matterhorn.program.saving import save
from matterhorn.program.seal import seal
from matterhorn.program.text import read_tokenizer
from matterhorn.runtime import verify
from matterhorn.storage import Manifest, put_folder, read_manifest, sha256

from ..networks import small_arrays, small_batch, small_bert, small_program, small_tokenizer

SHARED = "../shared/tables.safetensors"


@pytest.fixture(scope="module")
def program():
    return small_program(k=2)


@pytest.fixture
def folder(program, tmp_path):
    program.save(tmp_path / "own")
    return tmp_path / "own"


def with_arrays(program: Program, **changed: np.ndarray) -> Program:
    names = {name.replace("__", "."): value for name, value in changed.items()}
    about = {"labels": program.labels, "tokenizer": program.tokenizer}
    return Program.from_arrays(program.config, program.arrays() | names, **about)


def assert_same(one: Program, other: Program) -> None:
    assert (one.config, one.labels, one.task) == (other.config, other.labels, other.task)
    for name, value in one.arrays().items():
        assert np.array_equal(value, other.arrays()[name]), name
    assert one.hash == other.hash


@pytest.mark.parametrize(
    "options", [{"k": 2}, {"weights": "ternary"}, {"weights": "int4", "kv_bits": 3}, {"k": 1, "mean": True}]
)
def test_a_program_survives_saving(options, tmp_path):
    program = small_program(**options)
    program.save(tmp_path / "p")
    again = load(tmp_path / "p")
    assert_same(program, again)
    assert again.path == tmp_path / "p"
    again.save(tmp_path / "q")
    assert load(tmp_path / "q").hash == again.hash
    assert np.array_equal(again.encode(["abc"])["input_ids"], program.encode(["abc"])["input_ids"])


@pytest.mark.parametrize("weights", ["int1", "ternary", "int4"])
def test_thresholds_out_of_reach_survive_saving(weights, tmp_path):
    """Pruned neurons reach some levels always and the others never, though potentials pass 16 bits."""
    teacher = small_bert()
    with torch.no_grad():
        feed = teacher.bert.encoder.layer[0].intermediate.dense
        feed.weight[:4], feed.bias[:4] = 0, torch.tensor([3.0, 0.3, 0.0, -1.0])
    network = quantize(teacher, weights=weights, dead_zone=1, batches=[small_batch()]).eval()
    program = convert(network, tokenizer=small_tokenizer())
    far = {*FAR} & {*program.arrays()["blocks.0.intermediate.thresholds"].ravel().tolist()}
    program.save(tmp_path / "p")
    assert far and load(tmp_path / "p", hash=program.hash).hash == program.hash
    assert verify(load(tmp_path / "p"), [small_arrays()], against=network).identical


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("largest", [9, 2**15 - 2, 2**15 - 1, 2**20])
def test_thresholds_of_any_size_are_stored_as_they_are(program, largest, far, tmp_path):
    name = "blocks.0.intermediate.thresholds"
    rows = np.sort(np.random.default_rng(largest).integers(-largest, largest + 1, program.arrays()[name].shape), axis=1)
    rows[3] = np.linspace(-largest, largest, rows.shape[1]).astype(int)
    if far:
        rows[0], rows[1, :2], rows[1, -1] = FAR[1], FAR[0], FAR[1]
    changed = with_arrays(program, **{name.replace(".", "__"): rows.astype(np.int32)})
    changed.save(tmp_path / "p")
    assert_same(changed, load(tmp_path / "p"))


def test_a_program_knows_how_many_texts_a_row_has(program, tmp_path):
    """Where nothing says so the folder is as it was; the hash, which is of what runs, does not change."""
    pairs = dataclasses.replace(program, texts=2)
    assert pairs.hash == program.hash and pickle.loads(pickle.dumps(pairs)).texts == 2
    for name, own, key in (("none", program, []), ("pairs", pairs, ["texts"])):
        own.save(tmp_path / name)
        said = json.loads((tmp_path / name / "config.json").read_text())
        assert load(tmp_path / name).texts == own.texts and [one for one in said if one == "texts"] == key
    with pytest.raises(InputError, match="texts: 3 texts a row; give 1, or 2 for pairs"):
        Program.from_arrays(program.config, program.arrays(), labels=program.labels, texts=3)


def test_a_ternary_weight_takes_eight_fifths_of_a_bit(tmp_path):
    program = small_program(weights="ternary")
    program.save(tmp_path / "p")
    stored = load_file(tmp_path / "p" / "model.safetensors")
    weights = program.arrays()["blocks.1.ffn1.weights"]
    assert set(np.unique(weights)) == {-1, 0, 1}
    packed = stored["blocks.1.ffn1.weights"]
    assert packed.dtype == np.uint8 and packed.nbytes == -(-weights.size // 5)
    digits = [int(packed[0]) // 3**place % 3 - 1 for place in range(5)]
    assert digits == weights.ravel()[:5].tolist()


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (7, 5), (48, 33)])
def test_ternary_packing_is_undone_at_any_size(shape):
    weights = np.random.default_rng(3).integers(-1, 2, shape).astype(np.int8)
    assert np.array_equal(unpack_ternary(pack_ternary(weights), shape), weights)


def test_ternary_weights_of_earlier_files_in_two_bits_are_read(tmp_path):
    program = small_program(weights="ternary")
    stored = to_disk(dict(program.arrays()), program.config)
    own = {name: pack(program.arrays()[name], "ternary") for name in stored if name.endswith("ffn1.weights")}
    again = from_disk(stored | own, program.config)
    assert np.array_equal(again["blocks.0.ffn1.weights"], program.arrays()["blocks.0.ffn1.weights"])


def test_embeddings_can_be_shared(program, tmp_path):
    for name in ("one", "two"):
        save(program, tmp_path / name, embeddings=SHARED)
    assert {path.name for path in (tmp_path / "two").iterdir()} == {
        *("config.json", "manifest.json", "model.safetensors", "modeling_matterhorn.py"),
        *("tokenizer.json", "tokenizer_config.json"),
    }  # fmt: skip
    assert_same(program, load(tmp_path / "two"))


def test_shared_embeddings_are_found_among_known_models_by_their_hash(program, tmp_path, monkeypatch):
    save(program, tmp_path / "one", embeddings=SHARED)
    shelves = [(tmp_path / name / "shared").mkdir(parents=True) or tmp_path / name for name in ("other", "known")]
    (tmp_path / "shared" / "tables.safetensors").rename(tmp_path / "known" / SHARED[3:])
    (tmp_path / "other" / SHARED[3:]).write_bytes(b"of another backbone")
    with pytest.raises(InputError, match=r"tables\.safetensors: missing"):
        load(tmp_path / "one")
    monkeypatch.setenv("MATTERHORN_MODELS", ":".join(map(str, shelves)))
    assert_same(program, load(tmp_path / "one"))


def test_of_shared_embeddings_only_the_rows_that_differ_are_kept(program, tmp_path):
    save(program, tmp_path / "one", embeddings=SHARED)
    word, bias = (program.arrays()[f"embeddings.{name}"].copy() for name in ("word", "norm.bias"))
    word[[3, 5]] += 1
    bias[2] += 0.5
    other = with_arrays(program, embeddings__word=word, embeddings__norm__bias=bias)
    save(other, tmp_path / "two", embeddings=SHARED)
    own = load_file(tmp_path / "two" / "own-rows.safetensors")
    assert own["word.rows"].tolist() == [3, 5] and own["norm.bias.rows"].tolist() == [2] and len(own) == 4
    assert_same(other, load(tmp_path / "two"))
    (tmp_path / "two" / "own-rows.safetensors").unlink()
    with pytest.raises(InputError, match=r"own-rows\.safetensors.*missing"):
        load(tmp_path / "two")


def test_embeddings_without_token_types_can_be_shared(program, tmp_path):
    tables = {f"embeddings.segment{end}": program.arrays()[f"embeddings.segment{end}"][:0] for end in ("", "_scale")}
    config = dataclasses.replace(program.config, type_vocab_size=0)
    bare = Program.from_arrays(config, program.arrays() | tables, labels=program.labels, tokenizer=program.tokenizer)
    for name in ("one", "two"):
        save(bare, tmp_path / name, embeddings=SHARED)
    assert_same(bare, load(tmp_path / "two"))


def test_embeddings_of_another_shape_cannot_be_shared(program, tmp_path):
    save(program, tmp_path / "one", embeddings=SHARED)
    config = dataclasses.replace(program.config, type_vocab_size=1)
    tables = {f"embeddings.segment{end}": program.arrays()[f"embeddings.segment{end}"][:1] for end in ("", "_scale")}
    smaller = Program.from_arrays(config, program.arrays() | tables, labels=program.labels)
    with pytest.raises(InputError, match="another kind"):
        save(smaller, tmp_path / "two", embeddings=SHARED)
    assert not (tmp_path / "two").exists()


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


def other_words():
    return Tokenizer(WordLevel({"a": 0}, unk_token="a")).to_str()


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
    "no tokenizer's file": (lambda f: (f / "tokenizer.json").write_text("{}"), "no tokens"),
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


def test_saving_replaces_at_once(folder):
    before = sorted(path.name for path in folder.iterdir())
    small_program(k=1).save(folder)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert load(folder).config.dead_zone == 1
    assert [path.name for path in folder.parent.iterdir()] == ["own"]


def test_saving_leaves_what_is_not_its_own(program, folder, tmp_path):
    """A tokenizer with settings of one's own, notes, folders; but arrays of the program before go."""
    (folder / "tokenizer_config.json").write_text('{"padding_side": "left"}')
    (folder / "notes").mkdir()
    (folder / "notes" / "mine.txt").write_text("mine")
    (tmp_path / "own.tmp").mkdir()
    save(program, folder, embeddings=SHARED)
    assert not (folder / "embeddings.safetensors").exists() and (tmp_path / "own.tmp").is_dir()
    assert (folder / "notes" / "mine.txt").read_text() == "mine"
    assert (folder / "tokenizer_config.json").read_text() == '{"padding_side": "left"}'
    assert load(folder).hash == program.hash
    (folder / "tokenizer.json").write_text(other_words())
    program.save(folder)  # another tokenizer would make other tokens
    assert load(folder).encode(["abc"])["input_ids"].tolist() == program.encode(["abc"])["input_ids"].tolist()


@pytest.mark.parametrize("text", ['{"model_type": "bert"}', "{"])
def test_saving_does_not_write_over_another_model(program, tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json: output: was not written by matterhorn"):
        program.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    with pytest.raises(InputError, match="not a folder"):
        program.save(tmp_path / "config.json")


def test_a_failure_leaves_the_program_that_is_there(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(OSError):
        save(small_program(k=1), folder, beside={"no/such/place": "text"})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_models_are_found_by_name(folder, monkeypatch):
    assert {"sst2", "stsb", "embed-mini"} <= set(shipped())
    with pytest.raises(InputError, match="no model 'own'"):
        find("own")
    monkeypatch.setenv("MATTERHORN_MODELS", str(folder.parent))
    assert find("own") == folder and "own" in shipped()
    assert load("own").path == folder


def test_folders_of_other_models_are_none_of_ours(tmp_path, monkeypatch):
    for name, text in {
        "bert": '{"model_type": "bert"}',
        "other": "{}",
        "earlier": '{"model_type": "matterhorn-spiking", "format": 2}',
        "cut": '{"model_type": "matterh',
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
    monkeypatch.setenv("MATTERHORN_MODELS", str(tmp_path))
    assert {"bert", "other", "earlier", "cut"} & {*shipped()} == {"earlier", "cut"}


def test_a_general_encoder_has_no_classifier():
    with pytest.raises(InputError, match="no classifier"):
        load_classifier("embed-mini")


def test_a_token_beyond_reason_is_refused(tmp_path):
    """Its library would make a table as long as the number, and end the process where memory does."""
    path = tmp_path / "tokenizer.json"
    plain = json.loads(small_tokenizer().to_str())
    plain["model"]["vocab"]["word"] = 2**31
    path.write_text(json.dumps(plain))
    with pytest.raises(InputError, match=r"tokenizer.json: model.vocab: a token of number 2147483648"):
        read_tokenizer(path)


def test_a_file_of_another_encoding_and_an_impossible_name_are_named_when_saving(program, folder, tmp_path):
    (folder / "tokenizer_config.json").write_bytes(b'{"x": "caf\xe9"}')
    with pytest.raises(InputError, match=r"tokenizer_config\.json: not UTF-8"):
        program.save(folder)
    with pytest.raises(InputError, match="no possible name"):
        program.save(tmp_path / "a\0b")
