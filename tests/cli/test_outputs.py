"""Commands replace what is theirs and nothing else; a place that is not possible is told before any work."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from matterhorn.cli import app
from matterhorn.errors import InputError
from matterhorn.models.convert import convert_folder
from matterhorn.program import find, load

from ..tiny import lay_network, lay_run


def run(*arguments):
    done = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def laid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("laid")
    lay_run(folder / "run", "rte")
    lay_network(folder / "vic" / "best", "rte", 2)
    return folder


@pytest.fixture
def place(laid, tmp_path):
    shutil.copytree(laid, tmp_path, dirs_exist_ok=True)
    (tmp_path / "docs" / ".git").mkdir(parents=True)
    (tmp_path / "docs" / ".git" / "HEAD").write_text("ref: refs/heads/main")
    (tmp_path / "docs" / "README.md").write_text("mine")
    convert_folder(tmp_path / "vic" / "best", task="rte").save(tmp_path / "program")
    return tmp_path


REFUSED = {
    ("convert", "vic/best", "vic"): "overlaps",
    ("convert", "vic/best", "vic/best"): "overlaps",
    ("convert", "vic/best", "vic/best/program"): "overlaps",
    ("convert", "vic/best", "docs"): r"docs/\.git: output: was not written by matterhorn",
    ("convert", "vic/best", "run/phase-0-k0/best", "--overwrite"): "of kind 'network', not 'program'",
    ("convert", "vic/best", "docs/README.md"): "not a folder",
    ("convert", "vic/best", "new", "--embeddings", "config.json"): "embeddings",
    ("publish", "run", "run"): "overlaps",
    ("publish", "run", "run/published"): "overlaps",
    ("publish", "run", "docs"): "was not written by matterhorn",
    ("msu", "export", "docs", "--model", "program"): "was not written by matterhorn",
    ("msu", "export", "program", "--model", "program", "--overwrite"): "overlaps",
    ("msu", "export", "vic/best", "--model", "program", "--overwrite"): "of kind 'network', not 'maps'",
    ("msu", "netlist", "--out", "docs"): r"let it end in \.cir",
    ("msu", "netlist", "--out", "w.npy", "--weights", "w.npy"): r"let it end in \.cir",
    ("bench", "--output", "program/config.json"): "part of what the folder holds",
    ("bench", "--output", "docs/README.md"): r"let it end in \.json",
    ("run", "a film", "--model", "program", "--trace", "program/model.safetensors"): r"let it end in \.gz",
    ("evaluate", "--model", "program", "--trace", "docs/README.md"): r"let it end in \.gz",
    ("energy", "--html", "docs/README.md"): r"let it end in \.html",
    ("glue", "score", "program", "--output", "program/config.json"): "part of what the folder holds",
    ("glue", "submit", "--output", "docs"): "zip",
}


@pytest.mark.parametrize("command", REFUSED, ids=" ".join)
def test_refused_before_any_work(place, monkeypatch, command):
    np.save(place / "w.npy", np.ones((4, 8), np.int8))
    monkeypatch.chdir(place)
    before = content(place)
    with pytest.raises(InputError, match=REFUSED[command]) as error:
        run(*command)
    assert "\n" not in str(error.value) and content(place) == before


def test_others_stay_where_overwriting_is_asked_for(place):
    (place / "docs" / "README.md").unlink()
    run("convert", place / "vic" / "best", place / "docs", "--overwrite")
    first = load(place / "docs").hash
    assert (place / "docs" / ".git" / "HEAD").read_text() == "ref: refs/heads/main"
    with pytest.raises(InputError, match=r"\.git"):
        run("convert", place / "run" / "phase-1-k1" / "best", place / "docs")
    run("convert", place / "run" / "phase-1-k1" / "best", place / "docs", "--overwrite")
    assert load(place / "docs").hash != first and (place / "docs" / ".git" / "HEAD").is_file()


def test_a_command_to_copy_names_the_folder_as_a_shell_reads_it(place):
    said = run("convert", place / "vic" / "best", place / "my program")
    assert said.endswith(f"matterhorn verify --model '{place / 'my program'}'\n")


def test_a_command_to_copy_names_the_folder_and_not_a_shipped_model(place, monkeypatch):
    monkeypatch.chdir(place)
    assert run("convert", place / "vic" / "best", "sst2").endswith("matterhorn verify --model ./sst2\n")


def test_what_is_ours_is_replaced_unless_it_was_edited(place):
    best, other = place / "vic" / "best", place / "run" / "phase-1-k1" / "best"
    run("convert", other, place / "program")
    assert load(place / "program").config.dead_zone == 1
    (place / "program" / "tokenizer_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer_config\.json: output: was edited"):
        run("convert", best, place / "program")
    assert load(place / "program").config.dead_zone == 1
    run("convert", best, place / "program", "--overwrite")
    assert load(place / "program").config.dead_zone == 2


def test_a_tokenizer_that_came_first_stays(place):
    """``tokenizer.save_pretrained(d); model.save_pretrained(d)``."""
    from transformers import AutoTokenizer

    from matterhorn.hf import ProgramForSequenceClassification

    folder, program = place / "d", load(place / "program")
    AutoTokenizer.from_pretrained(place / "vic" / "best").save_pretrained(folder)
    (folder / "notes.txt").write_text("mine")
    before = content(folder)
    ProgramForSequenceClassification.of(program).save_pretrained(folder)
    assert load(folder).hash == program.hash
    assert {path: text for path, text in content(folder).items() if path in before} == before
    assert load(find(folder)).encode(["a fine film"])["input_ids"].tolist() == [[2, 5, 8, 6, 3]]
