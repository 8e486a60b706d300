"""``matterhorn publish``: a run becomes a folder that holds what its card says."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from matterhorn.cli import app
from matterhorn.errors import InputError
from matterhorn.models.checkpoint import load_spiking
from matterhorn.training.recipe import load_recipe
from matterhorn.training.results import read_result

from .test_glue import lay_dev, lay_run

PHASE = {"epochs": 1.0, "learning_rate": 1e-4}


def finished(folder, task="rte"):
    """A run's folder with a whole recipe and what training left beside each network."""
    lay_run(folder, task)
    rounds = [PHASE | {"dead_zone": k} for k in (0, 1, 2)]
    tutor = PHASE | {"backbone": "larger"}
    recipe = {
        "task": task,
        "backbone": "tiny",
        "seed": 5,
        "reworded": 70,
        "teacher": PHASE,
        "rounds": rounds,
        "tutor": tutor,
    }
    (folder / "recipe.json").write_text(json.dumps(recipe))
    progress = {"best": 0.625, "best_step": 40, "history": [{"step": 40}, {"step": 80}], "done": True}
    for place in folder.glob("round-*"):
        (place / "last").mkdir()
        (place / "last" / "state.json").write_text(json.dumps(progress))
    progress["history"][0]["mean_of"] = 3
    (folder / "round-0-k0" / "last" / "state.json").write_text(json.dumps(progress))
    return folder


def publish(*arguments):
    return CliRunner().invoke(app, ["publish", *map(str, arguments)], catch_exceptions=False)


def test_a_run_becomes_a_folder_to_share(tmp_path):
    run, rows, output = finished(tmp_path / "run"), lay_dev(tmp_path / "glue", "rte"), tmp_path / "mine"
    told = json.loads(publish(run, output, "--glue-dir", rows, "--json").stdout)
    result = read_result(output / "results.json")
    assert told == result.model_dump() and result.model == "mine" and result.teacher and result.quantised
    (spiking,) = result.spiking
    assert spiking.k == 2 == load_spiking(output).config.dead_zone and spiking.verify.n == result.n == 20
    assert spiking.verify.levels_compared > 0 == spiking.verify.levels_different + spiking.verify.logits_different
    card = (output / "README.md").read_text()
    assert (
        f"{spiking.metrics['accuracy']:.4f} (teacher, full precision: {result.teacher.metrics['accuracy']:.4f}" in card
    )
    assert "license" not in card  # of a backbone that is not known here
    assert "learned from a tutor, larger" in card
    assert "70 more rows" in card and "Round 2 (k = 2): best of 2 evaluations at step 40, 0.625" in card
    assert "at step 40 (mean of the weights at the last 3), 0.625" in card
    assert load_recipe(output / "recipe.yaml").rounds[2].dead_zone == 2 and not list(tmp_path.glob("*.new"))


def test_verification_may_take_fewer_rows_and_says_so(tmp_path):
    run, rows, output = finished(tmp_path / "run"), lay_dev(tmp_path / "glue", "rte"), tmp_path / "mine"
    publish(run, output, "--glue-dir", rows, "--verify-rows", "6")
    assert read_result(output / "results.json").spiking[0].verify.n == 6
    assert "6 of 20 rows" in (output / "README.md").read_text()


def test_nothing_is_left_of_a_run_that_cannot_be_published(tmp_path):
    run, output = finished(tmp_path / "run"), tmp_path / "mine"
    with pytest.raises(InputError, match="no such file"):
        publish(run, output, "--glue-dir", tmp_path / "nowhere")
    assert not list(tmp_path.glob("mine*"))
    (run / "round-1-k1" / "last" / "state.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        publish(run, output, "--glue-dir", tmp_path)
    (run / "recipe.json").unlink()
    with pytest.raises(InputError, match=r"recipe\.json"):
        publish(run, output, "--glue-dir", tmp_path)
    (run / "recipe.json").write_text(json.dumps({"texts": ["rte"], "rounds": [PHASE]}))
    with pytest.raises(InputError, match="a run for no task"):
        publish(run, output, "--glue-dir", tmp_path)
