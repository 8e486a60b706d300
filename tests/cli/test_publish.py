"""``matterhorn publish``: a run becomes a folder that holds what its card says."""

from __future__ import annotations

import json
from importlib import import_module
from itertools import chain

import pytest
import yaml
from typer.testing import CliRunner

from matterhorn.cli import app
from matterhorn.cli.train import _figures
from matterhorn.distill.recipe import load_recipe
from matterhorn.errors import InputError
from matterhorn.models.latent import LATENTS_FILE
from matterhorn.program import load
from matterhorn.tasks.results import read_result

from ..networks import small_network, small_program
from ..tiny import PHASE, lay_dev, lay_run


def finished(folder, task="rte", blocks=None):
    """A run's folder with a whole recipe and what training left beside each network."""
    lay_run(folder, task, blocks)
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text()) | {"reworded": 70}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    history = [{"step": 40, "divergence": 0.625}, {"step": 80, "divergence": 0.7}]
    progress = {"format": 2, "best": -0.625, "best_step": 40, "step": 80, "history": history, "done": True}
    for place in folder.glob("phase-*"):
        (place / "last").mkdir()
        (place / "last" / "state.json").write_text(json.dumps(progress))
    return folder


def publish(*arguments):
    return CliRunner().invoke(app, ["publish", *map(str, arguments)], catch_exceptions=False)


def test_a_run_becomes_a_folder_to_share(tmp_path):
    run, rows, output = finished(tmp_path / "run"), lay_dev(tmp_path / "glue", "rte"), tmp_path / "mine"
    told = json.loads(publish(run, output, "--glue-dir", rows, "--json").stdout)
    result = read_result(output / "results.json")
    assert told == result.model_dump() and result.model == "mine" and result.teacher and result.quantized
    (spiking,) = result.spiking
    program = load(output)
    assert spiking.k == 2 == program.config.dead_zone and program.task == "rte" and program.tokenizer is not None
    assert spiking.verify.n == result.n == 20 and 0 < spiking.quiet_share < 1
    assert spiking.verify.levels_compared > 0 == spiking.verify.levels_different + spiking.verify.logits_different
    card = (output / "README.md").read_text()
    assert f"{spiking.metrics['accuracy']:.4f}" in card and f"{result.teacher.metrics['accuracy']:.4f}" in card
    assert "license" not in card  # of a backbone that is not known here
    assert "70 more rows" in card
    assert "Phase 2 (k = 2): the best of 2 evaluations on the held-out rows was at step 40" in card
    assert load_recipe(output / "recipe.yaml").phases[2].dead_zone == 2
    assert not list(tmp_path.glob("*.new")) and not list(tmp_path.glob("*.tmp"))


def test_a_network_with_fewer_blocks_than_its_teacher_is_published_as_such(tmp_path):
    run, rows, output = finished(tmp_path / "run", blocks=[1]), lay_dev(tmp_path / "glue", "rte"), tmp_path / "mine"
    publish(run, output, "--glue-dir", rows)
    result = read_result(output / "results.json")
    assert (result.blocks, result.teacher_blocks) == ((1,), 2) and result.teacher and result.quantized
    assert load(output).shape.layers == 1 and load_recipe(output / "recipe.yaml").network == {"blocks": [1]}
    verified = result.spiking[0].verify
    assert verified.n == 20 and not verified.levels_different and not verified.logits_different
    card = (output / "README.md").read_text()
    assert "| Blocks | 1 of the teacher's: 1 |" in card


def test_other_rows_than_dev_rows_are_named_in_figures_and_card(tmp_path):
    run, rows, output = finished(tmp_path / "run"), lay_dev(tmp_path / "glue", "rte"), tmp_path / "mine"
    (rows / "RTE" / "dev.tsv").rename(rows / "RTE" / "train.tsv")
    publish(run, output, "--glue-dir", rows, "--split", "train")
    assert read_result(output / "results.json").title == "rte on train"
    card = (output / "README.md").read_text()
    assert "| Accuracy, rte on train (20) |" in card and "split: train" in card and "validation" not in card


@pytest.mark.parametrize("output", [".", "other/.."])
def test_a_model_is_called_like_its_folder_however_that_is_written(tmp_path, monkeypatch, output):
    run, rows = finished(tmp_path / "run"), lay_dev(tmp_path / "glue", "rte")
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    publish(run, output, "--glue-dir", rows, "--verify-rows", "1")
    assert read_result(tmp_path / "mine" / "results.json").model == "mine"
    assert (tmp_path / "mine" / "README.md").read_text().count("# mine")
    assert not (tmp_path / "mine" / "other").exists()


def test_verification_may_take_fewer_rows_and_says_so(tmp_path):
    run, rows, output = finished(tmp_path / "run"), lay_dev(tmp_path / "glue", "rte"), tmp_path / "mine"
    publish(run, output, "--glue-dir", rows, "--verify-rows", "6", "--latents")
    assert read_result(output / "results.json").spiking[0].verify.n == 6
    assert "6 of 20 rows" in (output / "README.md").read_text()
    assert LATENTS_FILE in json.loads((output / "manifest.json").read_text())["files"]


def test_latents_that_are_not_kept_are_refused_before_any_work(tmp_path, monkeypatch):
    run, rows, output = finished(tmp_path / "run"), lay_dev(tmp_path / "glue", "rte"), tmp_path / "mine"
    four_bits = small_network(weights="int4")
    monkeypatch.setattr("matterhorn.models.quantized.read_network", lambda _: four_bits)
    with pytest.raises(InputError, match="weights: int4 weights; latents are kept of"):
        publish(run, output, "--glue-dir", rows, "--latents")
    assert not list(tmp_path.glob("mine*"))


def test_what_is_a_program_already_is_not_published(tmp_path):
    small_program().save(tmp_path / "spiked")
    with pytest.raises(InputError, match="not a run of matterhorn train; upload it as it is"):
        publish(tmp_path / "spiked", tmp_path / "mine", "--glue-dir", tmp_path)


def test_what_is_no_run_is_not_published(tmp_path):
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "gone", tmp_path / "empty"):
        with pytest.raises(InputError, match=f"^{place}: no recipe.yaml here; give the folder of a run"):
            publish(place, tmp_path / "mine", "--glue-dir", tmp_path)


def test_the_shares_that_are_told_are_those_of_the_network_that_is_kept(tmp_path):
    history = [{"step": 40, "silent": 0.9, "quiet": 0.8, "joules": 2e-6}, {"step": 80, "silent": 0.5, "joules": 1e-6}]
    progress = {"format": 2, "best": -0.5, "best_step": 40, "step": 80, "history": history, "done": True}
    (tmp_path / "last").mkdir()
    (tmp_path / "last" / "state.json").write_text(json.dumps(progress))
    assert _figures(tmp_path / "best") == ", silent 0.900, quiet 0.800, 2.00 µJ a sentence in training"


def test_nothing_is_left_of_a_run_that_cannot_be_published(tmp_path, monkeypatch):
    run, output = finished(tmp_path / "run"), tmp_path / "mine"
    (tmp_path / "own.csv").write_text("text,label\nNorth.,entailment\nSouth.,never\n", encoding="utf-8")
    told = {"--data": tmp_path / "own.csv", "--text": "text"}
    for rows, problem in (
        ({"--glue-dir": tmp_path}, "no such file"),
        ({"--data": "gone.csv"}, "no such file"),
        (told | {"--text": "line"}, "line: no such column"),
        (told, "never"),
    ):
        with monkeypatch.context() as before_work, pytest.raises(InputError, match=problem):
            before_work.setattr(import_module("matterhorn.models.convert"), "convert_folder", None)
            publish(run, output, *chain(*rows.items()))
    assert not list(tmp_path.glob("mine*"))
    (run / "phase-1-k1" / "last" / "state.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        publish(run, output, "--glue-dir", tmp_path)
    (run / "recipe.yaml").unlink()
    with pytest.raises(InputError, match=r"recipe\.yaml"):
        publish(run, output, "--glue-dir", tmp_path)
    (run / "recipe.yaml").write_text(yaml.safe_dump({"texts": ["rte"], "phases": [PHASE]}))
    with pytest.raises(InputError, match="a run for no task"):
        publish(run, output, "--glue-dir", tmp_path)
