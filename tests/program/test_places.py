"""Which folder a name means, and where embeddings are stored."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from matterhorn.errors import InputError
from matterhorn.program import find, load, shipped
from matterhorn.program.files import folders, spelled
from matterhorn.program.saving import save
from matterhorn.tasks.predictor import Predictor

from ..networks import small_program


@pytest.fixture(scope="module")
def program():
    return small_program(k=2)


def test_a_folder_that_is_named_like_a_model_is_reached_by_its_path(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program.save("sst2")
    for name in ("./sst2", Path("sst2"), Path("./sst2"), tmp_path / "sst2", str(tmp_path / "sst2")):
        assert load(name).hash == program.hash
    assert Predictor(Path("sst2"), "text").folder == tmp_path / "sst2"
    with pytest.warns(UserWarning, match=r"'sst2' is taken as the model in .*; write '\./sst2' for the folder"):
        assert find("sst2") != Path("sst2")


def test_a_path_is_never_the_name_of_a_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (Path("sst2"), "./sst2", Path("me/mine"), "m" * 300, Path("m" * 300)):
        with pytest.raises(InputError, match=r"no model '(\./)?(sst2|me/mine|m{300})'"):
            find(name)
    (tmp_path / "sst2").mkdir()  # rows, say: no model, so that nobody can mean it
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find("sst2").parent != Path()


def test_what_is_no_name_and_no_hash_is_one_line():
    for name in (None, 5, b"sst2", ["sst2"]):
        with pytest.raises(InputError, match=r"model: an? \w+, not a model; give a folder or one of: "):
            load(name)
    with pytest.raises(InputError, match=r"no model 'mmm.* … .*give a folder or one of: "):
        load("m" * 5000)
    for number in (12345678, b"12345678"):
        with pytest.raises(InputError, match=r'hash: a (int|bytes), not a text; give its digits in quotes: hash="…"'):
            load("sst2", hash=number)


def test_among_the_models_themselves_nothing_is_said(monkeypatch):
    models = find("sst2").parent
    monkeypatch.chdir(models)
    assert find("sst2") == models / "sst2" and load(Path("sst2")).path == Path("sst2")


def test_a_folder_is_spelled_so_that_it_is_found():
    assert (
        spelled(Path("sst2")) == "./sst2"
        and spelled(Path("my-snn")) == "my-snn"
        and spelled(Path("a/sst2")) == "a/sst2"
    )


def test_only_a_checkout_has_models_beside_the_package(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "matterhorn"
    monkeypatch.setattr("matterhorn.program.files.__file__", str(package / "program" / "files.py"))
    assert package.parent / "models" not in folders()
    package.parent.mkdir()
    (package.parent / "pyproject.toml").touch()
    assert package.parent / "models" in folders()


@pytest.mark.parametrize("name", ["./embeddings.safetensors", "../own/tables.safetensors", "x/../tables.safetensors"])
def test_embeddings_in_the_folder_itself_are_not_shared(program, tmp_path, name):
    """Saved over a program that keeps its own, they were deleted with the files before."""
    program.save(tmp_path / "own")
    save(program, tmp_path / "own", embeddings=name)
    assert load(tmp_path / "own").hash == program.hash
    assert (tmp_path / "own" / Path(name).name).is_file()
    assert f'"embeddings": "{Path(name).name}"' in (tmp_path / "own" / "config.json").read_text()
    save(program, tmp_path / "own", embeddings=name)
    assert load(tmp_path / "own").hash == program.hash


@pytest.mark.parametrize(
    "name",
    [
        *("deep/tables.safetensors", "manifest.json/e.safetensors", "../own/deep/tables.safetensors"),
        *("..\\tables.safetensors", "C:tables.safetensors", "a\0.safetensors", ".matterhorn-a.safetensors"),
        *("latents.safetensors", "../latents.safetensors", "Model.safetensors", "../model.safetensors"),
    ],
)
def test_names_that_embeddings_cannot_have(program, tmp_path, name):
    with pytest.raises(InputError, match="embeddings"):
        save(program, tmp_path / "own", embeddings=name)
    assert not list(tmp_path.iterdir())


def test_shared_embeddings_lie_where_they_are_read_behind_a_link_too(program, tmp_path):
    (tmp_path / "far" / "real").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "real")
    save(program, tmp_path / "link", embeddings="../tables.safetensors")
    assert load(tmp_path / "link").hash == program.hash
    assert (tmp_path / "far" / "tables.safetensors").is_file()


def test_models_are_found_by_name(program, tmp_path, monkeypatch):
    folder = tmp_path / "own"
    program.save(folder)
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


def test_embeddings_at_an_absolute_path_are_found_where_both_were_moved(program, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    save(program, here / "own", embeddings=str(here / "shared" / "tables.safetensors"))
    assert '"embeddings": "../shared/tables.safetensors"' in (here / "own" / "config.json").read_text()
    here.rename(there)
    assert load(there / "own").hash == program.hash
