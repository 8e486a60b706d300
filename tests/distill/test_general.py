"""General distillation, and unlabelled texts beside a task's own rows."""

from __future__ import annotations

import json
import subprocess

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import BertTokenizerFast

from matterhorn.coding import READ_UNIT
from matterhorn.errors import InputError
from matterhorn.models import MatterhornForSequenceClassification, from_bert
from matterhorn.models.checkpoint import save_spiking
from matterhorn.models.convert import convert
from matterhorn.training.data import Tokens, load_examples
from matterhorn.training.recipe import GeneralRecipe, Recipe, Round, load_recipe
from matterhorn.training.run import distillation_rows
from matterhorn.training.start import find_start, start_student
from matterhorn.training.tasks import get_task
from matterhorn.training.texts import join, load_texts, vocabulary
from matterhorn.zoo import ZOO

from ..conftest import small_bert
from .test_run import command, lay_out

PHASE = {"epochs": 2, "learning_rate": 3e-3, "batch_size": 16, "evaluate_every": 10}


def general(folder, **changes) -> dict:
    settings = PHASE | {
        "dead_zone": 2,
        "logit_weight": 0,
        "silent_target": 0.8,
        "place_steps": True,
        "hold_shares": True,
    }
    plain = {"backbone": str(folder / "backbone"), "texts": ["wnli"], "selection_rows": 40, "max_length": 32}
    return plain | {"rounds": [settings]} | changes


def run(recipe, output):
    done = subprocess.run(command(recipe, output), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_an_encoder_is_distilled_and_a_task_starts_from_it(tmp_path):
    recipe = lay_out(tmp_path)
    (tmp_path / "general.yaml").write_text(yaml.safe_dump(general(tmp_path)))
    run(tmp_path / "general.yaml", tmp_path / "runs" / "general")
    state = json.loads((tmp_path / "runs" / "general" / "round-0-k2" / "last" / "state.json").read_text())
    assert state["done"] and state["history"][-1]["nearness"] > 1.02 * state["history"][0]["nearness"]
    assert state["history"][-1]["silent"] == pytest.approx(0.8, abs=0.05)

    plain = yaml.safe_load(recipe.read_text())
    started = plain | {"start_from": "general", "texts": ["wnli"], "texts_each": 20, "remember_teacher": True}
    recipe.write_text(
        yaml.safe_dump(started | {"rounds": [PHASE | {"epochs": 0.1, "learning_rate": 1e-6, "dead_zone": 2}]})
    )
    run(recipe, tmp_path / "runs" / "task")
    own, source = (
        MatterhornForSequenceClassification.from_pretrained(tmp_path / "runs" / place / "round-0-k2" / "best")
        for place in ("task", "general")
    )
    for name, population in own.populations().items():
        assert torch.equal(population.silent, source.populations()[name].silent)
    close = torch.allclose(own.blocks[0].attention.query.weight, source.blocks[0].attention.query.weight, atol=1e-4)
    head = load_file(tmp_path / "runs" / "task" / "teacher" / "best" / "model.safetensors")["classifier.weight"]
    assert close and torch.allclose(own.classifier.weight, head, atol=1e-4)  # of another task: the own teacher's

    middle = 3 * source.config.intermediate_size
    recipe.write_text(yaml.safe_dump(yaml.safe_load(recipe.read_text()) | {"network": {"intermediate_size": middle}}))
    run(recipe, tmp_path / "runs" / "wide")
    wide = MatterhornForSequenceClassification.from_pretrained(tmp_path / "runs" / "wide" / "round-0-k2" / "best")
    rows = wide.blocks[0].feed_forward.ffn1.weight.unflatten(0, (3, -1))
    assert torch.allclose(rows.mean(0), source.blocks[0].feed_forward.ffn1.weight, atol=1e-4)  # copies of its own


def test_texts_are_drawn_with_the_seed_and_have_no_labels(tmp_path):
    lay_out(tmp_path)
    tokenizer = BertTokenizerFast.from_pretrained(tmp_path / "backbone")
    recipe = GeneralRecipe(**general(tmp_path, texts_each=30))
    once, again = (load_texts(recipe, tokenizer, tmp_path / "glue")[0] for _ in range(2))
    other = load_texts(recipe.model_copy(update={"seed": 2}), tokenizer, tmp_path / "glue")[0]
    assert len(once) == 30 and once.ids == again.ids != other.ids and "labels" not in once.batch([0, 1])
    own = Tokens([[2, 5, 3]], [[0, 0, 0]], [1.0], 0, is_regression=False)
    both = join([own, once])
    assert len(both) == 31 and both.ids[0] == [2, 5, 3] and "labels" not in both.batch([0, 30])


def test_pairs_are_read_one_by_one_for_a_task_with_single_sentences(tmp_path):
    lay_out(tmp_path)
    tokenizer = BertTokenizerFast.from_pretrained(tmp_path / "backbone")
    recipe = GeneralRecipe(**general(tmp_path, texts=["wnli"], texts_each=1000))
    (pairs,), (alone,) = (load_texts(recipe, tokenizer, tmp_path / "glue", alone=alone) for alone in (False, True))
    assert all(row.count(tokenizer.sep_token_id) == 2 for row in pairs.ids)
    assert all(
        row.count(tokenizer.sep_token_id) == 1 and not any(kinds)
        for row, kinds in zip(alone.ids, alone.types, strict=True)
    )
    given = load_examples(get_task("wnli"), "train", tmp_path / "glue").texts
    assert len(alone) == len({sentence for pair in given for sentence in pair})
    for task, parts in (("sst2", 1), ("wnli", 2)):  # a run reads them as its task has them
        own = Recipe(**yaml.safe_load((tmp_path / "recipe.yaml").read_text()) | {"task": task, "texts": ["wnli"]})
        learned = distillation_rows(own, Tokens([], [], [], 0, is_regression=False), tokenizer, tmp_path / "glue")
        assert {row.count(tokenizer.sep_token_id) for row in learned.ids} == {parts}


def test_a_run_learns_on_pairs_matched_anew(tmp_path):
    lay_out(tmp_path)
    tokenizer = BertTokenizerFast.from_pretrained(tmp_path / "backbone")
    asked = yaml.safe_load((tmp_path / "recipe.yaml").read_text()) | {"task": "wnli", "reworded": 0, "rematched": 5}
    ids = [[2, 5 + i, 3, 12 + i, 3] for i in range(4)]
    rows = Tokens(ids, [[0, 0, 0, 1, 1]] * 4, [1.0] * 4, 0, is_regression=False)
    learned = distillation_rows(Recipe(**asked), rows, tokenizer, tmp_path / "glue")
    assert len(learned) == 4 + 5 and "labels" not in learned.batch([0, 4])
    assert learned.ids[:4] == ids and all(row not in ids for row in learned.ids[4:])


def test_vocabulary_has_words_and_nothing_that_frames_a_row(tmp_path):
    lay_out(tmp_path)
    tokenizer = BertTokenizerFast.from_pretrained(tmp_path / "backbone")
    words = tokenizer.convert_ids_to_tokens(vocabulary(tokenizer))
    assert words and not {"[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"} & set(words)


def test_densities_need_every_kind(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(general(tmp_path) | {"rounds": [PHASE | {"densities": {"input": 1.0}}]}))
    with pytest.raises(InputError, match="positive density for each of input, queries"):
        load_recipe(path)


def test_labels_cannot_be_weighed_where_there_are_none(tmp_path):
    path = tmp_path / "r.yaml"
    plain = {"task": "rte", "texts": ["mnli"], "teacher": PHASE, "rounds": [PHASE | {"label_weight": 0.5}]}
    path.write_text(yaml.safe_dump(plain))
    with pytest.raises(InputError, match="no label_weight"):
        load_recipe(path)
    assert isinstance(load_recipe("general"), GeneralRecipe)


def test_a_run_starts_from_the_round_with_its_dead_zone(tmp_path):
    for number, k in enumerate((0, 3, 3)):
        best = tmp_path / "first" / f"round-{number}-k{k}" / "best"
        best.mkdir(parents=True)
        (best / "config.json").write_text("{}")
    found = {k: find_start(tmp_path / "second", "first", k).network.parent.name for k in (0, 3, 1)}
    assert found == {0: "round-0-k0", 3: "round-2-k3", 1: "round-2-k3"}


def test_a_run_goes_on_from_the_shipped_model_of_its_own_name_also_when_resumed(tmp_path):
    best = tmp_path / "sst2" / "round-0-k3" / "best"
    best.mkdir(parents=True)
    (best / "config.json").write_text("{}")
    start = find_start(tmp_path / "sst2", "sst2", 3)
    assert start.network == ZOO / "sst2" and start.teacher is None and start.task == "sst2"
    (tmp_path / "mnli").mkdir()
    with pytest.raises(InputError, match="no finished round"):  # begun, not shipped in its place
        find_start(tmp_path / "rte", "mnli", 3)


def test_a_silent_network_gets_its_steps_anew_without_a_dead_zone_and_keeps_them_with_it(tmp_path):
    teacher = small_bert()
    silent = from_bert(teacher, dead_zone=2)
    for population in silent.populations().values():
        population.step.data.fill_(1e-4)
        population.reads.add_(2 * READ_UNIT)
    silent.save_pretrained(tmp_path)
    rows = Tokens([[2, 5 + i, 9, 3] for i in range(32)], [[0] * 4] * 32, [0.0] * 32, 0, is_regression=False)
    recipe = GeneralRecipe(**general(tmp_path))

    def steps(k: int) -> list[float]:
        student = start_student(recipe, Round(dead_zone=k, **PHASE), tmp_path, rows, teacher)
        return [float(population.step.detach().max()) for population in student.populations().values()]

    assert max(steps(2)) < 2e-4 and min(steps(0)) > 1e-3


def test_weights_of_a_packed_network_can_flip_and_are_quantised_to_the_same(tmp_path):
    teacher = small_bert()
    silent = from_bert(teacher, dead_zone=2)
    save_spiking(convert(silent), tmp_path, task=None)
    rows = Tokens([[2, 5 + i, 9, 3] for i in range(32)], [[0] * 4] * 32, [0.0] * 32, 0, is_regression=False)
    student = start_student(
        GeneralRecipe(**general(tmp_path)), Round(dead_zone=2, **PHASE), tmp_path, rows, teacher, other_task=True
    )
    before, after = (network.layers()[0].feed_forward.ffn1 for network in (silent, student))
    assert torch.equal(before.integers()[0], after.integers()[0])
    assert (after.weight.abs() < 0.25 * after.integers()[1][:, None]).float().mean() > 0.1
