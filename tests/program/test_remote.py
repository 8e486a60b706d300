"""Which names are the hub's, and what is said where it does not answer (tests/hf/test_hub.py sends and fetches)."""

from __future__ import annotations

import pytest
from huggingface_hub.utils import filter_repo_objects

from matterhorn.errors import InputError
from matterhorn.program import load
from matterhorn.program.remote import download, is_remote


@pytest.mark.parametrize("name", ["me/mine", "me-2/my.snn_1", "me/mine@v1", "me/mine@refs/pr/1", "me/mine@0f1e2d"])
def test_names_of_the_hub(name):
    assert is_remote(name)


@pytest.mark.parametrize(
    "name", ["sst2", "./me/mine", "../mine", "~/mine", "/me/mine", "a/b/c", "me/", "me/mine@", "me/a b"]
)
def test_names_of_folders(name):
    assert not is_remote(name)


def test_what_lies_below_a_folder_here_is_not_asked_for(tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert not is_remote("runs/mine")
    with pytest.raises(InputError, match="no model 'runs/mine'; give a folder or one of"):
        load("runs/mine")


def test_offline_is_one_line():
    with pytest.raises(InputError, match="no model 'nobody/nothing': not a folder, not in the cache"):
        load("nobody/nothing")


@pytest.mark.parametrize("name", ["me/my--model", "me/my..model", "me/model.git", "me/y.", f"me/{'y' * 97}"])
def test_a_name_that_no_hub_allows_is_one_line(name):
    with pytest.raises(InputError, match="neither a folder nor a name that the hub allows; check the spelling"):
        load(name)


@pytest.mark.parametrize("given", ["0" * 64, "0" * 12, "", "f"])
def test_another_program_than_was_meant_is_refused(given):
    with pytest.raises(InputError, match="the program here is"):
        load("sst2", hash=given)


def test_the_program_that_was_meant_is_loaded():
    program = load("sst2")
    assert load("sst2", hash=program.hash[:8].upper()).hash == load("sst2", hash=program.hash).hash == program.hash


def test_of_a_repository_only_what_a_program_is_made_of_is_fetched(monkeypatch, tmp_path):
    """No pickles, and nothing that would be moved to its place when the folder is read."""
    wanted = ["config.json", "trace.json.gz", "model.safetensors", "modeling_matterhorn.py", "README.md"]
    others = ["pytorch_model.bin", "weights.npz", ".matterhorn-ready/config.json", "deep/.matterhorn-ready/config.json"]
    found = []

    def fetch(_, *, allow_patterns, ignore_patterns, **__):
        found.extend(
            filter_repo_objects(wanted + others, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns)
        )
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert download("me/mine") == tmp_path and found == wanted
