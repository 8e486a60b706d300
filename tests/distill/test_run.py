"""A tiny run from its recipe: what it leaves, and that a killed one goes on as if it had not been."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file

from matterhorn.distill.loop import run_phase
from matterhorn.distill.loss import Distillation
from matterhorn.distill.recipe import Distilling, load_recipe
from matterhorn.distill.run import train as train_here
from matterhorn.distill.start import find_start
from matterhorn.distill.state import load_state
from matterhorn.distill.steps import adam
from matterhorn.errors import InputError
from matterhorn.models import QuantizedForSequenceClassification
from matterhorn.models.restore import lift

from ..networks import small_bert
from ..tiny import PHASE, WORDS, environment, lay_out, lay_pairs, lay_tokenizer, train, train_command

pytestmark = pytest.mark.xdist_group("run")  # one training run to look at, not one for each worker
PLACES = ("teacher", "phase-0-k0", "phase-1-k1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    recipe = lay_out(folder)
    train_here(load_recipe(recipe), folder / "whole", folder / "glue")
    return recipe, folder / "whole"


def test_a_run_learns_and_leaves_its_networks(trained):
    _, output = trained
    for place, k in (("phase-0-k0", 0), ("phase-1-k1", 1)):
        network = QuantizedForSequenceClassification.from_pretrained(output / place / "best")
        assert network.config.dead_zone == k
        assert (output / place / "best" / "tokenizer.json").is_file()
        state = json.loads((output / place / "last" / "state.json").read_text())
        last, first = state["history"][-1], state["history"][0]
        assert last["divergence"] < first["divergence"] and 0 < first["flipped"] < 0.5
        assert {"loss", "hidden", "silent", "quiet", "step"} <= last.keys() and state["format"] == 2
        best = next(entry for entry in state["history"] if entry["step"] == state["best_step"])
        assert best["accuracy"] > 0.8, "of the network that is kept"
        assert state["best"] <= -best["divergence"]
    assert last["silent"] == pytest.approx(0.85, abs=0.05)
    assert not list(output.rglob("*.tmp"))


def test_what_is_kept_is_the_average(trained):
    _, output = trained
    state = load_file(output / "phase-1-k1" / "last" / "state.safetensors")
    best = json.loads((output / "phase-1-k1" / "last" / "state.json").read_text())
    kept = load_file(output / "phase-1-k1" / "best" / "model.safetensors")
    name = next(name for name in kept if name.endswith("query.weight"))
    assert not torch.equal(state[f"average/module.{name}"], state[f"model/{name}"])
    if best["best_step"] == best["step"]:
        assert torch.equal(kept[name], state[f"average/module.{name}"])


def test_a_run_that_is_done_is_not_done_again(trained):
    recipe, output = trained
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.safetensors")}
    assert train_here(load_recipe(recipe), output, recipe.parent / "glue") == output / "phase-1-k1" / "best"
    assert before == {path: path.stat().st_mtime_ns for path in output.rglob("*.safetensors")}


def test_a_further_phase_draws_rows_in_an_order_of_its_own(tmp_path, monkeypatch):
    seeds = {}

    def noted(*arguments, **options):
        seeds[arguments[6].name] = arguments[7]
        return run_phase(*arguments, **options)

    monkeypatch.setattr("matterhorn.distill.run.run_phase", noted)
    recipe = lay_out(tmp_path, seed=3)
    train_here(load_recipe(recipe), tmp_path / "run", tmp_path / "glue")
    assert seeds == {"teacher": 3, "phase-0-k0": 3, "phase-1-k1": 4}


@pytest.mark.slow
def test_a_killed_run_ends_as_the_whole_one(trained, tmp_path):
    recipe, whole = trained
    output = tmp_path / "killed"
    for place in PLACES:
        arguments = [sys.executable, *train_command(recipe, output)]
        run = subprocess.Popen(arguments, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (output / place / "last").exists() and time.monotonic() < deadline and run.poll() is None:
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
        run.wait()
    done = train(recipe, output)
    assert done.returncode == 0, done.stderr
    for place in PLACES:
        ours, other = (load_file(f / place / "last" / "state.safetensors") for f in (output, whole))
        assert ours.keys() == other.keys()
        assert [name for name in ours if not torch.equal(ours[name], other[name])] == []
        ours, other = (load_file(f / place / "best" / "model.safetensors") for f in (output, whole))
        assert all(torch.equal(ours[name], other[name]) for name in other)


def test_a_stopped_phase_ends_as_the_whole_one(trained, tmp_path, monkeypatch):
    """As above, in one process: what a phase remembers of silence comes back too."""
    recipe, whole = trained
    output = tmp_path / "stopped"
    plain = load_recipe(recipe)
    calls = []

    def stop(self):
        calls.append(self)
        if len(calls) == 75:  # in the second phase, behind its second evaluation
            raise KeyboardInterrupt
        return own(self)

    own = torch.optim.AdamW.step
    output.mkdir()
    for place in ("teacher", "about.json"):
        subprocess.run(["cp", "-r", str(whole / place), str(output / place)], check=True)
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self, *a, **k: stop(self))
    with pytest.raises(KeyboardInterrupt):
        train_here(plain, output, recipe.parent / "glue")
    monkeypatch.undo()
    state = json.loads((output / "phase-1-k1" / "last" / "state.json").read_text())
    assert 0 < state["step"] < 45 and not state["done"]
    train_here(plain, output, recipe.parent / "glue")
    ours, other = (load_file(f / "phase-1-k1" / "last" / "state.safetensors") for f in (output, whole))
    assert any(name.startswith("silence/") for name in ours)
    assert [name for name in other if not torch.equal(ours[name], other[name])] == []


def test_training_that_diverges_stops_with_its_last_good_state(trained, tmp_path, monkeypatch):
    """First the loss is NaN, then only its gradient; what was saved before is whole, and the run goes on from it."""
    recipe, whole = trained
    output, own, calls = tmp_path / "diverged", Distillation.__call__, []
    output.mkdir()
    for place in ("teacher", "about.json"):
        subprocess.run(["cp", "-r", str(whole / place), str(output / place)], check=True)

    def spoiled(what):
        def call(self, *arguments):
            value, figures = own(self, *arguments)
            calls.append(what)
            spoil = torch.nan if what == "loss" else (0 * value).sqrt()
            return (value + spoil if len(calls) == 15 else value), figures

        return call

    for what, steps in (("loss", 10), ("gradient", 20)):
        calls.clear()
        monkeypatch.setattr(Distillation, "__call__", spoiled(what))
        with pytest.raises(InputError, match=f"diverged: loss or gradient is NaN or infinite by step {steps + 4}"):
            train_here(load_recipe(recipe), output, recipe.parent / "glue")
        state = json.loads((output / "phase-0-k0" / "last" / "state.json").read_text())
        assert state["step"] == steps and not state["done"]
        for place in ("last/state", "best/model"):
            kept = load_file(output / "phase-0-k0" / f"{place}.safetensors")
            assert all(value.isfinite().all() for value in kept.values())
    monkeypatch.undo()
    train_here(load_recipe(recipe), output, recipe.parent / "glue")
    ours, other = (load_file(f / "phase-1-k1" / "last" / "state.safetensors") for f in (output, whole))
    assert [name for name in other if not torch.equal(ours[name], other[name])] == []


def test_a_gpu_without_memory_between_steps_says_what_to_lower_and_nothing_is_lost(trained, tmp_path, monkeypatch):
    recipe, whole = trained
    shutil.copytree(whole, tmp_path / "run")

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr("matterhorn.distill.run.is_done", lambda _: False)
    monkeypatch.setattr("matterhorn.distill.run.start_student", full)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.safetensors")}
    with pytest.raises(
        InputError, match=r"max_length: out of GPU memory between steps; lower it \(now \d+\)"
    ) as caught:
        train_here(load_recipe(recipe), tmp_path / "run", recipe.parent / "glue")
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.safetensors")} == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 2}, r"recipe\.seed \(1, now 2\)"),
        ({"teacher": PHASE | {"learning_rate": 1e-3}}, r"recipe\.teacher\.learning_rate"),
        ({"selection_rows": 30}, r"recipe\.selection_rows"),
    ],
)
def test_another_recipe_does_not_go_on(trained, tmp_path, changes, says):
    recipe, output = trained
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    other = tmp_path / "recipe.yaml"
    other.write_text(yaml.safe_dump(yaml.safe_load(recipe.read_text()) | changes))
    with pytest.raises(InputError, match=says):
        train_here(load_recipe(other), output, recipe.parent / "glue")
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


def test_other_rows_or_another_backbone_do_not_go_on(trained, tmp_path):
    recipe, output = trained
    with pytest.raises(InputError, match=r"rows\.wnli"):
        train_here(load_recipe(recipe), output, lay_pairs(tmp_path / "glue", 301))
    shutil.copytree(recipe.parent / "backbone", tmp_path / "kept")
    try:
        small_bert(seed=1, vocabulary=len(WORDS)).save_pretrained(recipe.parent / "backbone")
        with pytest.raises(InputError, match="another backbone"):
            train_here(load_recipe(recipe), output, recipe.parent / "glue")
    finally:
        shutil.copytree(tmp_path / "kept", recipe.parent / "backbone", dirs_exist_ok=True)


def test_a_refused_run_leaves_nothing(trained, tmp_path):
    recipe, _ = trained
    with pytest.raises(InputError, match="no such file"):
        train_here(load_recipe(recipe), tmp_path / "new", tmp_path / "nowhere")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "recipe.yaml").write_text("mine")
    with pytest.raises(InputError, match=r"it holds recipe\.yaml"):
        train_here(load_recipe(recipe), tmp_path / "docs", recipe.parent / "glue", restart=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["docs", "recipe.yaml"]


def test_a_run_can_start_where_another_ended(trained):
    recipe, whole = trained
    plain = yaml.safe_load(recipe.read_text())
    few = plain["teacher"] | {"epochs": 0.1, "learning_rate": 1e-6}
    other = recipe.with_name("second.yaml")
    second = plain | {"start": whole.name, "teacher": few, "phases": [few | {"dead_zone": 1}]}
    other.write_text(yaml.safe_dump(second))
    train_here(load_recipe(other), whole.with_name("second"), recipe.parent / "glue")
    ours = load_file(whole.with_name("second") / "phase-0-k1" / "best" / "model.safetensors")
    before = lift(QuantizedForSequenceClassification.from_pretrained(whole / "phase-1-k1" / "best")).state_dict()
    for name, value in before.items():
        if name.startswith("blocks.") and value.dim() > 1:
            assert torch.allclose(ours[name], value, atol=1e-4), name
        if name.endswith(".silent"):
            assert torch.equal(ours[name], value), name
    assert torch.allclose(ours["classifier.weight"], before["classifier.weight"], atol=1e-4)  # of the same task
    other.write_text(yaml.safe_dump(plain | {"start": "minilm/nowhere"}))
    with pytest.raises(InputError, match="nowhere: start: no finished run; train minilm/nowhere to its end first"):
        train_here(load_recipe(other), whole.with_name("third"), recipe.parent / "glue")


def test_a_start_of_another_size_is_refused_before_any_training(trained, tmp_path):
    recipe, _ = trained
    small_bert(vocabulary=len(WORDS), num_hidden_layers=1).save_pretrained(tmp_path / "backbone")
    lay_tokenizer(tmp_path / "backbone")
    plain = yaml.safe_load(recipe.read_text()) | {"start": "whole", "backbone": str(tmp_path / "backbone")}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(plain))
    shutil.copytree(recipe.with_name("whole"), tmp_path / "whole", ignore=shutil.ignore_patterns("teacher"))
    with pytest.raises(InputError, match="start: a network of other sizes"):
        train_here(load_recipe(tmp_path / "recipe.yaml"), tmp_path / "own", recipe.parent / "glue")
    assert not (tmp_path / "own" / "teacher").exists()


def test_a_checkpoint_of_another_version_is_refused(trained, tmp_path):
    _, output = trained
    subprocess.run(["cp", "-r", str(output / "phase-0-k0" / "last"), str(tmp_path / "last")], check=True)
    plain = json.loads((tmp_path / "last" / "state.json").read_text())
    (tmp_path / "last" / "state.json").write_text(json.dumps(plain | {"format": 1}))
    network = QuantizedForSequenceClassification.from_pretrained(output / "phase-0-k0" / "best")
    phase = Distilling(epochs=1, learning_rate=1e-3)
    with pytest.raises(InputError, match="not of format 2"):
        load_state(tmp_path / "last", {"model": network}, adam(network, phase))


def test_a_run_starts_from_the_phase_with_its_dead_zone(trained, tmp_path):
    recipe, whole = trained
    (tmp_path / "first").mkdir()
    plain = yaml.safe_load(recipe.read_text())
    phases = [plain["phases"][0] | {"dead_zone": k} for k in (0, 3, 3)]
    (tmp_path / "first" / "recipe.yaml").write_text(yaml.safe_dump(plain | {"phases": phases}))
    for number, k in enumerate((0, 3, 3)):
        place = tmp_path / "first" / f"phase-{number}-k{k}"
        (place / "best").mkdir(parents=True)
        (place / "best" / "config.json").write_text("{}")
        shutil.copytree(whole / "phase-0-k0" / "last", place / "last")
    found = {k: find_start(tmp_path / "second", "minilm/first", k).network.parent.name for k in (0, 3, 1)}
    assert found == {0: "phase-0-k0", 3: "phase-2-k3", 1: "phase-2-k3"}
    assert find_start(whole.with_name("x"), "whole", 0).task == "wnli"
