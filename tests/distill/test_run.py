from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import BertTokenizerFast

from matterhorn.errors import InputError
from matterhorn.models import MatterhornForSequenceClassification
from matterhorn.nn import QuantisedLinear
from matterhorn.training.data import Tokens
from matterhorn.training.distil import Distillation
from matterhorn.training.flips import Flips
from matterhorn.training.loop import RECENT, _optimizer, run_phase
from matterhorn.training.mean import mean_network, remember, remembered
from matterhorn.training.metrics import compute_metrics
from matterhorn.training.recipe import Round, load_recipe
from matterhorn.training.tasks import get_task

from ..conftest import small_batch, small_bert, small_network

GOOD, BAD = ["fine", "bright", "warm", "clever", "lovely"], ["dull", "grey", "cold", "clumsy", "awful"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "film", "and", *GOOD, *BAD]


def lay_out(folder: Path, steps: int = 40) -> Path:
    """A tiny backbone, a tiny task in GLUE's layout and a recipe; returns the recipe's path."""
    draw = np.random.default_rng(0)
    rows = []
    for _ in range(300):
        label = int(draw.integers(2))
        words = draw.choice(GOOD if label else BAD, size=int(draw.integers(1, 5)))
        rows.append(f"a film\t{' and '.join(words)}\t{label}")
    for split in ("train", "dev"):
        text = "\n".join(["sentence1\tsentence2\tlabel", *rows])
        (folder / "glue" / "WNLI").mkdir(parents=True, exist_ok=True)
        (folder / "glue" / "WNLI" / f"{split}.tsv").write_text(text)
    small_bert(vocabulary=len(WORDS)).save_pretrained(folder / "backbone")
    (folder / "backbone" / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(str(folder / "backbone" / "vocab.txt")).save_pretrained(folder / "backbone")
    phase = {"epochs": steps / 15, "learning_rate": 3e-3, "batch_size": 16, "evaluate_every": 10}
    recipe = {
        "task": "wnli",
        "backbone": str(folder / "backbone"),
        "max_length": 32,
        "selection_rows": 40,
        "teacher": phase,
        "rounds": [
            phase | {"mean_of": 3},
            phase | {"dead_zone": 1, "silent_target": 0.85, "event_price": 0.1, "average": 0.8},
        ],
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def command(recipe: Path, output: Path) -> list[str]:
    glue = str(recipe.parent / "glue")
    program = "from matterhorn.cli import main; main()"
    return [
        sys.executable,
        "-c",
        program,
        "train",
        "--recipe",
        str(recipe),
        "--glue-dir",
        glue,
        "--output",
        str(output),
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    recipe = lay_out(folder)
    environment = os.environ | {"TORCH_COMPILE_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command(recipe, folder / "whole"), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return recipe, folder / "whole", environment


def test_a_run_learns_and_leaves_its_networks(trained):
    _, output, _ = trained
    for place, k in (("round-0-k0", 0), ("round-1-k1", 1)):
        network = MatterhornForSequenceClassification.from_pretrained(output / place / "best")
        assert network.config.dead_zone == k
        assert (output / place / "best" / "tokenizer.json").is_file()
        history = json.loads((output / place / "last" / "state.json").read_text())["history"]
        assert history[-1]["accuracy"] > 0.8 and 0 < history[0]["flipped"] < 0.5
    assert not list(output.rglob("*.tmp"))


def test_killed_and_started_again_it_ends_at_the_same_weights(trained, tmp_path):
    recipe, whole, environment = trained
    output = tmp_path / "killed"
    for place in ("teacher", "round-0-k0", "round-1-k1"):
        run = subprocess.Popen(
            command(recipe, output), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 120
        while not (output / place / "last").exists() and time.monotonic() < deadline and run.poll() is None:
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
        run.wait()
    done = subprocess.run(command(recipe, output), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for place in ("teacher", "round-0-k0", "round-1-k1"):
        ours, other = (load_file(f / place / "last" / "state.safetensors") for f in (output, whole))
        assert ours.keys() == other.keys()
        different = [name for name in ours if not torch.equal(ours[name], other[name])]
        assert different == []
        ours, other = (load_file(f / place / "best" / "model.safetensors") for f in (output, whole))
        assert all(torch.equal(ours[name], other[name]) for name in other)


def test_latent_weights_have_a_rate_of_their_own_and_all_are_trained_once():
    network = small_network()
    phase = Round(epochs=1, learning_rate=1e-3, latent_rate=3)
    peaks = {id(p): group["peak"] for group in _optimizer(network, phase).param_groups for p in group["params"]}
    wanted = {id(p): 1e-3 for p in network.parameters() if p.requires_grad}
    wanted |= {id(m.weight): 3e-3 for m in network.modules() if isinstance(m, QuantisedLinear)}
    assert peaks == pytest.approx(wanted)


def test_flips_are_counted_from_one_look_to_the_next():
    network = small_network()
    flips, linears = Flips(network), [m for m in network.modules() if isinstance(m, QuantisedLinear)]
    weights = sum(linear.weight.numel() for linear in linears)
    with torch.no_grad():
        linears[0].weight[0].neg_()
    assert flips.since(network) == {"flipped": linears[0].weight.shape[1] / weights}
    assert flips.since(network) == {"flipped": 0.0} and Flips(small_bert()).since(small_bert()) == {}


def test_what_is_kept_is_the_average(trained):
    _, output, _ = trained
    state = load_file(output / "round-1-k1" / "last" / "state.safetensors")
    best = json.loads((output / "round-1-k1" / "last" / "state.json").read_text())
    kept = load_file(output / "round-1-k1" / "best" / "model.safetensors")
    name = "blocks.0.attention.query.weight"
    assert not torch.equal(state[f"average/module.{name}"], state[f"model/{name}"])
    if best["best_step"] == best["step"]:
        assert torch.equal(kept[name], state[f"average/module.{name}"])


def test_the_mean_of_the_last_networks_is_measured_at_the_end(tmp_path):
    networks, recent = [small_network() for _ in range(4)], tmp_path / "recent"
    with torch.no_grad():
        for step, network in enumerate(networks):
            for parameter in network.parameters():
                parameter.add_(step)
            remember(recent, 10 * step, network, 3)
    assert [path.stem for path in remembered(recent)] == ["10", "20", "30"]
    mean, names = mean_network(recent, networks[0]), dict(networks[0].named_parameters())
    for name, value in mean.named_parameters():
        wanted = sum(dict(network.named_parameters())[name] for network in networks[1:]) / 3
        assert torch.allclose(value, wanted) and not torch.equal(value, names[name])
    for name, value in mean.named_buffers():
        assert torch.equal(value, dict(networks[0].named_buffers())[name])


@pytest.mark.parametrize("mean_is_better", [True, False])
def test_the_mean_is_kept_if_it_is_the_best(tmp_path, mean_is_better):
    phase = Round(epochs=1, learning_rate=1e-2, batch_size=2, evaluate_every=1, mean_of=2)
    network, seen = small_network(), []
    rows = Tokens([[2, 5, 3]] * 6, [[0, 0, 0]] * 6, [1.0] * 6, 0, is_regression=False)

    def loss(model, batch):
        return sum(parameter.sum() for parameter in model.parameters() if parameter.requires_grad), {}

    def measure(model, selection, accelerator):
        seen.append({name: value.detach().clone() for name, value in model.named_parameters()})
        return {"nearness": float(len(seen) == 4) if mean_is_better else -float(len(seen))}

    progress = run_phase(network, loss, measure, rows, rows, phase, tmp_path / "round", 1)
    assert len(seen) == 4 and progress.step == 3  # three evaluations, and the mean
    assert not (tmp_path / "round" / RECENT).exists()
    kept = MatterhornForSequenceClassification.from_pretrained(tmp_path / "round" / "best")
    for name, value in kept.named_parameters():
        wanted = (seen[1][name] + seen[2][name]) / 2 if mean_is_better else seen[0][name]
        assert torch.allclose(value, wanted)
    assert [entry.get("mean_of") for entry in progress.history] == [None, None, 2 if mean_is_better else None]


def test_the_mean_is_the_same_after_a_stop(tmp_path):
    phase = Round(epochs=1, learning_rate=1e-2, batch_size=2, evaluate_every=1, mean_of=3)
    rows = Tokens([[2, 5, 3]] * 6, [[0, 0, 0]] * 6, [1.0] * 6, 0, is_regression=False)

    def kept(folder, stop_at):
        network, calls = small_network(), []

        def loss(model, batch):
            return sum((parameter**2).sum() for parameter in model.parameters() if parameter.requires_grad), {}

        def measure(model, selection, accelerator):
            calls.append(model)
            if len(calls) == stop_at:
                raise KeyboardInterrupt
            return {"nearness": float(model is not network)}  # so the mean is the best

        run_phase(network, loss, measure, rows, rows, phase, folder, 1)
        return load_file(folder / "best" / "model.safetensors")

    whole = kept(tmp_path / "whole", None)
    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path / "stopped", 3)
    again = kept(tmp_path / "stopped", None)
    history = json.loads((tmp_path / "stopped" / "last" / "state.json").read_text())["history"]
    assert history[-1]["mean_of"] == 3 and len(history) == 3
    assert all(torch.equal(again[name], value) for name, value in whole.items())


def test_a_run_can_start_where_another_ended(trained):
    recipe, whole, environment = trained
    plain = yaml.safe_load(recipe.read_text())
    few = plain["teacher"] | {"epochs": 0.1, "learning_rate": 1e-6}
    other = recipe.with_name("second.yaml")
    other.write_text(
        yaml.safe_dump(plain | {"start_from": whole.name, "teacher": few, "rounds": [few | {"dead_zone": 1}]})
    )
    done = subprocess.run(command(other, whole.with_name("second")), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours = load_file(whole.with_name("second") / "round-0-k1" / "best" / "model.safetensors")
    before = load_file(whole / "round-1-k1" / "best" / "model.safetensors")
    for name, value in before.items():
        if name.startswith("blocks.") and value.dim() > 1:
            assert torch.allclose(ours[name], value, atol=1e-4), name
        if name.endswith(".silent"):
            assert torch.equal(ours[name], value), name
    assert torch.allclose(ours["classifier.weight"], before["classifier.weight"], atol=1e-4)  # of the same task
    other.write_text(yaml.safe_dump(plain | {"start_from": "nowhere"}))
    failed = subprocess.run(command(other, whole.with_name("third")), env=environment, capture_output=True, text=True)
    assert failed.returncode == 2 and "nowhere" in failed.stderr and "train that recipe first" in failed.stderr


def test_teacher_is_in_eval_mode_and_gets_no_gradients():
    teacher, student = small_bert(), small_network()
    teacher.train()
    from matterhorn.training.teacher import freeze

    loss = Distillation(student, freeze(teacher), Round(epochs=1, learning_rate=1))
    student.train()
    value, figures = loss(student, small_batch())
    value.backward()
    assert not teacher.training and all(p.grad is None for p in teacher.parameters())
    assert figures["loss"] > 0 and 0 < figures["silent"] < 1
    assert all(p.grad is not None for p in student.blocks.parameters())


def test_the_price_rises_while_there_is_too_little_silence():
    student = small_network().train()
    loss = Distillation(student, small_bert(), Round(epochs=1, learning_rate=1, silent_target=0.99))
    prices = [loss(student, small_batch())[1]["price"] for _ in range(5)]
    assert prices == sorted(prices) and prices[-1] > prices[0]
    loss.round = Round(epochs=1, learning_rate=1, silent_target=0.01)
    before = loss.state["price"]
    loss(student, small_batch())
    assert loss.state["price"] < before


def test_regression_has_a_loss():
    """One logit's soft cross-entropy would be zero whatever the student says."""
    from matterhorn.models import from_bert
    from matterhorn.models.from_bert import calibrate_steps

    teacher = small_bert(labels=1)
    student = from_bert(teacher)
    calibrate_steps(student, small_batch())
    loss = Distillation(student.train(), teacher, Round(epochs=1, learning_rate=1, hidden_weight=0))
    assert loss(student, small_batch())[1]["loss"] > 0


def test_metrics_are_those_of_glue():
    logits = np.array([[2.0, 1], [0, 1], [0, 1], [3, 0]])
    labels = np.array([0, 1, 0, 1])
    assert compute_metrics(get_task("sst2"), logits, labels) == {"accuracy": 0.5}
    assert compute_metrics(get_task("mrpc"), logits, labels) == {"accuracy": 0.5, "f1": 0.5}
    assert compute_metrics(get_task("cola"), logits, labels)["matthews"] == 0
    scores = np.array([[1.0], [2], [4], [8]])
    answer = compute_metrics(get_task("stsb"), scores, np.array([1.0, 2, 3, 4]))
    assert answer["spearman"] == pytest.approx(1) and answer["pearson"] == pytest.approx(11.5 / (5 * 28.75) ** 0.5)


@pytest.mark.parametrize("text", ["task: sst2\nepochs: 3\n", "- a\n", "task: [", "task: sst2\nteacher: {epochs: -1}\n"])
def test_bad_recipes_name_the_field(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"r\.yaml"):
        load_recipe(path)
    with pytest.raises(InputError, match="no such recipe"):
        load_recipe("nothing")
    assert load_recipe("sst2").task == "sst2"
