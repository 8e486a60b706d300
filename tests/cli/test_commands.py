"""The commands as a user runs them, on the shipped model and the shipped sample."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from matterhorn.zoo import ZOO, find

SAMPLE = ZOO.parent / "samples" / "sst2.tsv"


def matterhorn(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    program = [sys.executable, "-c", "from matterhorn.cli import main; main()", *arguments]
    return subprocess.run(program, capture_output=True, text=True, env=os.environ | environment, timeout=300)


def answer(*arguments: str, **environment: str) -> dict:
    done = matterhorn(*arguments, "--json", **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def sample_dir(tmp_path_factory) -> Path:
    """The shipped sample in GLUE's layout."""
    folder = tmp_path_factory.mktemp("glue")
    (folder / "SST-2").mkdir()
    (folder / "SST-2" / "dev.tsv").write_text(SAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def test_run_with_nothing_given():
    told = answer("run")
    assert told["n"] == 24 and told["correct"] >= 18
    assert 0.5 < told["silent_share"] < 1
    assert len(told["connections"]) == 6 * 8
    assert all({"text", "label", "confidence", "events", "silent_share"} <= set(row) for row in told["texts"])


def test_run_draws_and_prints_a_table(tmp_path):
    picture = tmp_path / "spikes.png"
    done = matterhorn("run", "A fine film.", "--plot", str(picture))
    assert done.returncode == 0 and "silent share" in done.stdout
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_engines_say_the_same():
    exact, stepped = (
        answer("run", "A fine film.", "A bad one.", "--engine", engine) for engine in ("exact", "stepped")
    )
    for one, other in zip(exact["texts"], stepped["texts"], strict=True):
        assert {k: v for k, v in one.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}


def test_verify_finds_no_difference(sample_dir):
    told = answer("verify", "--task", "sst2", "--glue-dir", str(sample_dir))
    assert told["n"] == 24 and told["levels_compared"] > 1_000_000
    assert told["levels_different"] == told["logits_different"] == told["events_different"] == 0
    assert {"exact", "stepped"} <= set(told["engines"])


def test_evaluate_and_info(sample_dir):
    told = answer("evaluate", "--task", "sst2", "--model", "sst2", MATTERHORN_GLUE_DIR=str(sample_dir))
    keys = {"task", "model", "engine", "n", "metric", "value", "silent_share", "events_per_token", "seconds"}
    assert keys <= set(told) and told["value"] >= 0.75
    info = answer("info", "sst2")
    assert {"name", "path", "task", "connections"} <= set(info) and len(info["connections"]) == 36


def test_the_shipped_model_is_small_and_has_a_card():
    folder = find("sst2")
    shared = find("sst2") / json.loads((folder / "config.json").read_text())["embeddings"]
    files = {path.resolve() for path in [*folder.iterdir(), shared]}
    assert sum(path.stat().st_size for path in files) < 16e6
    assert sum(path.stat().st_size for path in ZOO.rglob("*") if path.is_file()) < 40e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(word in card for word in ("Data", "Recipe", "Accuracy", "Silent share", "Seed", "Date"))


BAD = {
    "no such model": (["run", "--model", "nothing"], "no model 'nothing'"),
    "empty text": (["run", ""], "empty text"),
    "too long": (["run", "word " * 600], "too long"),
    "no such engine": (["run", "--engine", "warp"], "no engine 'warp'"),
    "no such file": (["run", "--file", "nowhere.txt"], "nowhere.txt: no such file"),
    "unknown task": (["evaluate", "--task", "imdb"], "unknown task 'imdb'"),
    "another task": (["evaluate", "--task", "rte", "--model", "sst2"], "was trained for sst2"),
    "no rows": (["verify", "--task", "sst2", "--glue-dir", "nowhere"], "dev.tsv: no such file"),
    "not a network": (["convert", "nowhere", "out"], "no network here"),
    "no classifier": (["run", "--model", "general"], "a general encoder, no classifier"),
    "no recipe": (["train", "--recipe", "nothing"], "no such recipe"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_input_is_one_line_and_exit_code_2(fault):
    arguments, message = BAD[fault]
    done = matterhorn(*arguments)
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_bad_lines_are_named(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("fine\n\nbad\n")
    done = matterhorn("run", "--file", str(path))
    assert done.returncode == 2 and "line 2" in done.stderr
    dev = tmp_path / "SST-2" / "dev.tsv"
    dev.parent.mkdir()
    dev.write_text("sentence\tlabel\nfine\t7\n")
    done = matterhorn("evaluate", "--task", "sst2", "--glue-dir", str(tmp_path))
    assert done.returncode == 2 and "row 2" in done.stderr


def test_shipped_numbers_hold(glue_dir):
    """What the model card says is what the command gives, to the last digit."""
    card = json.loads((find("sst2") / "results.json").read_text())
    told = answer("evaluate", "--task", "sst2", "--model", "sst2", "--glue-dir", str(glue_dir))
    spikes = card["spiking"][0]
    assert (told["n"], told["metrics"], told["silent_share"]) == (card["n"], spikes["metrics"], spikes["silent_share"])
