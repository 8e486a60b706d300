"""A program's folder: written whole, read back equal, its embeddings shared with others."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from matterhorn.errors import InputError
from matterhorn.models import convert, quantize
from matterhorn.program import Program, load
from matterhorn.program.disk import FAR, from_disk, to_disk
from matterhorn.program.packing import pack, pack_ternary, unpack_ternary
from matterhorn.program.saving import save
from matterhorn.runtime import verify
from matterhorn.storage import put_first

from ..networks import small_arrays, small_batch, small_bert, small_program, small_tokenizer

SHARED = "../shared/tables.safetensors"


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
    with pytest.raises(InputError, match="texts: 3 texts per row; give 1, or 2 for pairs"):
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


def other_words():
    return Tokenizer(WordLevel({"a": 0}, unk_token="a")).to_str()


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


def test_a_failure_leaves_the_program_that_is_there(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(OSError):
        save(small_program(k=1), folder, beside={"no/such/place": "text"})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("killed", [False, True], ids=["replaced", "killed halfway"])
def test_what_is_replaced_while_it_is_read_is_the_old_or_the_new(tmp_path, monkeypatch, killed):
    """Another process saves at the first, the second, … file that is read; it may be killed while files are moved."""
    old, new, seen, as_it_is = small_program(k=1), small_program(k=2), [], Path.read_bytes
    while seen[-1:] != [old.hash] or len(seen) < 5:
        folder, left = tmp_path / f"{len(seen)}", [len(seen)]
        old.save(folder)
        with monkeypatch.context() as patch:

            def read(path: Path, left: list[int] = left, folder: Path = folder) -> bytes:
                left[0] -= 1
                if left[0] == -1:
                    with monkeypatch.context() as other, suppress(KeyboardInterrupt):
                        if killed:
                            other.setattr(os, "replace", stopped(os.replace, 3))
                        new.save(folder)
                return as_it_is(path)

            patch.setattr(Path, "read_bytes", read)
            seen.append(load(folder).hash)
    assert {*seen} == {old.hash, new.hash}


def stopped(call, most):
    """A call that ends the process, as it were, when it is made once more than ``most``."""
    left = [most]

    def counted(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return call(*arguments)

    return counted


def test_of_two_who_find_no_shared_embeddings_one_writes_them(program, tmp_path, monkeypatch):
    word = program.arrays()["embeddings.word"].copy()
    word[3] += 1
    other = with_arrays(program, embeddings__word=word)

    def overtaken(path, content):
        with monkeypatch.context() as patch:
            patch.setattr("matterhorn.program.saving.put_first", put_first)
            save(other, tmp_path / "two", embeddings=SHARED)
        put_first(path, content)

    monkeypatch.setattr("matterhorn.program.saving.put_first", overtaken)
    save(program, tmp_path / "one", embeddings=SHARED)
    assert_same(program, load(tmp_path / "one"))
    assert_same(other, load(tmp_path / "two"))


def test_settings_of_the_tokenizer_that_were_deleted_are_written_again(program, folder):
    (folder / "tokenizer_config.json").unlink()
    program.save(folder)
    assert (folder / "tokenizer_config.json").is_file()
