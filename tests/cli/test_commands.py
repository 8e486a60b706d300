"""The commands as a user runs them, on the shipped model and the shipped sample."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from typer.main import get_command, get_group
from typer.testing import CliRunner

from matterhorn import cli
from matterhorn.cli import app
from matterhorn.program.files import find
from matterhorn.program.samples import sample
from matterhorn.program.seal import seal
from matterhorn.tasks.results import Result

from ..networks import small_program
from .entry import answer, run


def matterhorn(*arguments: str) -> subprocess.CompletedProcess:
    """In a process of its own; most commands are told the same by ``answer`` and ``run`` in this one."""
    program = [sys.executable, "-c", "from matterhorn.cli import main; main()", *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def sample_dir(tmp_path_factory) -> Path:
    """The shipped sample in GLUE's layout."""
    folder = tmp_path_factory.mktemp("glue")
    (folder / "SST-2").mkdir()
    lines = [f"{text}\t{('negative', 'positive').index(label)}" for text, label in zip(*sample(), strict=True)]
    (folder / "SST-2" / "dev.tsv").write_text("\n".join(["sentence\tlabel", *lines, ""]), encoding="utf-8")
    return folder


def test_run_with_nothing_given():
    done = matterhorn("run", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["n"] == 24 and found["correct"] >= 18 and found["format"] == 3
    assert 0.5 < found["silent_share"] < 1 and 0.5 < found["quiet_share"] < 1
    assert len(found["connections"]) == 6 * 8
    keys = {"text", "label", "confidence", "spikes", "silent_share", "quiet_share"}
    assert all(keys <= set(row) for row in found["texts"])


def test_run_draws_and_prints_a_table(tmp_path):
    picture = tmp_path / "spikes.png"
    done = matterhorn("run", "A fine film.", "--plot", str(picture))
    assert done.returncode == 0 and "silent share" in done.stdout and "quiet share" in done.stdout
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_backends_say_the_same():
    answers = [
        answer("run", "A fine film.", "A bad one.", "--backend", name) for name in ("events", "exact", "stepped")
    ]
    for rows in zip(*(found["texts"] for found in answers), strict=True):
        first, *others = ({k: v for k, v in row.items() if k != "seconds"} for row in rows)
        assert all(other == first for other in others)


def test_verify_finds_no_difference(sample_dir):
    found = answer("verify", "--task", "sst2", "--glue-dir", str(sample_dir))
    assert found["n"] == 24 and found["levels_compared"] > 1_000_000
    assert found["levels_different"] == found["logits_different"] == found["events_different"] == 0
    assert set(found["backends"]) == {"exact", "events", "stepped"} and found["against"] == "the quantized network"


def test_evaluate_and_info(sample_dir, monkeypatch):
    monkeypatch.setenv("MATTERHORN_GLUE_DIR", str(sample_dir))
    found = answer("evaluate", "--task", "sst2", "--model", "sst2")
    keys = {"format", "task", "model", "backend", "n", "metric", "value", "silent_share", "quiet_share", "seconds"}
    assert keys <= set(found) and found["value"] >= 0.75
    info = answer("info", "sst2")
    assert {"name", "path", "hash", "task", "weights", "labels"} <= set(info) and len(info["connections"]) == 36
    models = {row["name"]: row for row in answer("info")["models"]}
    assert (models["sst2"]["trained_for"], models["sst2-base"]["trained_for"]) == ("count alone", None)
    assert {"sst2", "embed-mini"} <= set(models) and models["sst2"]["weights"] == "int1"
    assert models["sst2"]["silent_share"] > models["sst2"]["quiet_share"] > 0.8
    assert len(models["sst2"]["sha256"]) == 64 and models["embed-mini"]["quiet_share"] is None


def test_a_model_of_which_less_is_known_is_listed(tmp_path, monkeypatch):
    """Its config leaves out what has a default, its result file has no spiking network."""
    folder = tmp_path / "mine"
    small_program().save(folder)
    plain = json.loads((folder / "config.json").read_text())
    del plain["network"]["dead_zone"]
    (folder / "config.json").write_text(json.dumps(plain))
    (folder / "results.json").write_text(Result(task="sst2", model="mine", n=2, metric="accuracy").as_json())
    seal(folder)
    monkeypatch.setenv("MATTERHORN_MODELS", str(tmp_path))
    models = json.loads(CliRunner().invoke(app, ["info", "--json"]).stdout)["models"]
    (own,) = [row for row in models if row["name"] == "mine"]
    assert (own["dead_zone"], own["silent_share"]) == (0, None)


def test_shipped_models_are_small_and_have_cards():
    folder = find("sst2")
    shared = folder / json.loads((folder / "config.json").read_text())["embeddings"]
    files = {path.resolve() for path in [*folder.iterdir(), shared]}
    assert sum(path.stat().st_size for path in files) < 16e6
    assert sum(path.stat().st_size for path in folder.parent.rglob("*") if path.is_file()) < 125e6  # of base size: 58
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(word in card for word in ("Data", "Recipe", "Accuracy", "Silent share", "Quiet share", "Seed", "Date"))


def test_old_checkpoints_are_upgraded_by_one_command(tmp_path):
    code, _, err = run("upgrade", str(find("sst2")), str(tmp_path / "new"))
    assert code == 2 and "not one of an earlier version" in err


BAD = {
    "no such model": (["run", "--model", "nothing"], "no model 'nothing'"),
    "empty text": (["run", ""], "empty text"),
    "too long": (["run", "word " * 600], "too long"),
    "no such backend": (["run", "--backend", "warp"], "no backend 'warp'"),
    "no such file": (["run", "--file", "nowhere.txt"], "nowhere.txt: no such file"),
    "unknown task": (["evaluate", "--task", "imdb"], "unknown task 'imdb'"),
    "another task": (["evaluate", "--task", "rte", "--model", "sst2"], "was trained for sst2"),
    "no rows": (["verify", "--task", "sst2", "--glue-dir", "nowhere"], "nowhere: --glue-dir: no such folder"),
    "not a network": (["convert", "nowhere", "out"], "no network here"),
    "no classifier": (["run", "--model", "embed-mini"], "a general encoder, not a classifier"),
    "no recipe": (["train", "--recipe", "nothing"], "no such recipe"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_input_is_one_line_and_exit_code_2(fault):
    arguments, message = BAD[fault]
    code, _, err = run(*arguments)
    assert code == 2 and message in err and len(err.strip().splitlines()) == 1


def test_bad_input_is_the_exit_code_of_its_process():
    done = matterhorn("run", "--model", "nothing")
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_bad_lines_are_named(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("fine\n\nbad\n")
    code, _, err = run("run", "--file", str(path))
    assert code == 2 and "line 2" in err
    dev = tmp_path / "SST-2" / "dev.tsv"
    dev.parent.mkdir()
    dev.write_text("sentence\tlabel\nfine\t7\n")
    code, _, err = run("evaluate", "--task", "sst2", "--glue-dir", str(tmp_path))
    assert code == 2 and "row 2" in err


def test_shipped_numbers_hold(glue_dir):
    """What the model card says is what the command gives, to the last digit."""
    card = json.loads((find("sst2") / "results.json").read_text())
    found = answer("evaluate", "--task", "sst2", "--model", "sst2", "--glue-dir", str(glue_dir))
    spiking = card["spiking"][0]
    assert (found["n"], found["metrics"]) == (card["n"], spiking["metrics"])
    assert (found["silent_share"], found["quiet_share"]) == (spiking["silent_share"], spiking["quiet_share"])
    assert found["events_per_token"] == spiking["events_per_token"]


def test_a_command_imports_no_other_ones_file():
    code = (
        "import sys; sys.argv = ['matterhorn', 'info', '--json']\n"
        "from matterhorn.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('matterhorn.cli.')], file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    assert "matterhorn.cli.programs" in found
    assert not any(f"'matterhorn.cli.{name}'" in found for name in ("energy", "msu", "bench", "train"))


def test_every_command_stands_in_the_table_of_files():
    for file in Path(cli.__file__).parent.glob("*.py"):
        if file.stem != "__init__":
            import_module(f"matterhorn.cli.{file.stem}")
    assert set(get_command(app).list_commands(None)) == set(get_group(app).commands)


@pytest.mark.parametrize("command", ["run fine", "predict sst2 --data a.csv --text text --output b.csv"])
def test_commands_without_chips_name_the_one_that_has_them(command):
    found = CliRunner().invoke(app, [*command.split(), "--backend", "analog"])
    assert "--backend: analog needs a chip; take matterhorn evaluate" in str(found.exception)
