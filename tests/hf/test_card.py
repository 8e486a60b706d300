"""The model card says what a reader wants to know, and nothing that is not so."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from huggingface_hub import ModelCard

from matterhorn.distill.recipe import load_recipe
from matterhorn.hf import model_card
from matterhorn.tasks.results import Result, Scores, SpikingScores, Verification

from ..networks import small_program


def result(**changes) -> Result:
    verification = Verification(
        n=872, levels_compared=1_352_879_064, levels_different=0, events_different=0, logits_different=0,
        backends=["stepped", "exact", "events"],
    )  # fmt: skip
    spiking = {
        "k": 3,
        "silence_per": "neuron",
        "intermediate": 1536,
        "silent_share": 0.90316,
        "quiet_share": 0.91234,
        "events_per_token": 1912.9,
        "metrics": {"accuracy": 0.86123},
        "verify": verification,
    }
    plain = {
        "task": "sst2",
        "model": "sst2",
        "n": 872,
        "metric": "accuracy",
        "seed": 1,
        "teacher": Scores(metrics={"accuracy": 0.9025}),
        "spiking": [SpikingScores(**(spiking | changes.pop("spiking", {})))],
        "command": "matterhorn evaluate --task sst2 --model sst2 --json",
        "date": "2026-11-26",
    }
    return Result(**(plain | changes))


@pytest.fixture(scope="module")
def program():
    return small_program(k=2)


def recipe(**changes):
    return load_recipe("sst2").model_copy(update=changes)


def history(step: int, divergence: float) -> SimpleNamespace:
    entries = [{"step": step - 200, "divergence": 2 * divergence}, {"step": step, "divergence": divergence}]
    return SimpleNamespace(best_step=step, history=entries)


def test_a_model_of_pairs_is_shown_a_pair(program):
    assert '`matterhorn run "some text" --model FOLDER`' in model_card(program, name="one")
    for pairs in (replace(program, texts=2), replace(program, task="rte")):
        assert r"`matterhorn run $'some text\tand another' --model FOLDER`" in model_card(pairs, name="two")


def test_figures_stand_beside_each_other(program):
    card = model_card(program, result(), recipe(), name="mine")
    assert "| Accuracy, sst2 dev (872) | 0.8612 (teacher, full precision: 0.9025; k = 0: not measured) |" in card
    assert "| Silent share, all connections | 0.9032 |" in card
    assert "| Quiet share (synaptic operations that never happen) | 0.9123 |" in card
    assert "872 rows, 1,352,879,064 levels, 0 different; logits different: 0 (stepped, exact, events)" in card
    assert "`matterhorn evaluate --task sst2 --model sst2 --json`" in card
    assert 'pipeline("text-classification", model="mine", trust_remote_code=True)' in card


def test_metadata_is_read_by_the_hub(program):
    scores = {"metrics": {"accuracy": 0.86123, "f1": 0.5}, "low": 0.84, "high": 0.88}
    figures = {"task": "mrpc", "teacher": None}
    card = model_card(program, result(spiking=scores, **figures), recipe(), name="mine")
    data = ModelCard(card).data
    assert data.license == "apache-2.0" and data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert (data.library_name, data.pipeline_tag) == ("matterhorn-snn", "text-classification")
    assert "spiking-neural-network" in data.tags and data.model_name == "mine"
    main, other = data.eval_results
    assert (main.metric_type, main.metric_value, main.dataset_config) == ("accuracy", 0.86123, "mrpc")
    assert main.metric_args == {"confidence": 0.95, "low": 0.84, "high": 0.88} and "0.8400 – 0.8800" in card
    assert (other.metric_type, other.metric_args) == ("f1", None)
    other_backbone = model_card(program, result(), recipe(backbone="bert-tiny"), name="mine")
    assert ModelCard(other_backbone).data.license is None and "sentence pairs" not in other_backbone


def test_metrics_have_their_names(program):
    figures = {"metric": "macro_f1", "task": "verdict"}
    scores = {"metrics": {"macro_f1": 0.5, "micro_f1": 0.5, "exact_match": 0.25}}
    card = model_card(program, result(spiking=scores, teacher=None, **figures), name="mine")
    assert [(one.metric_type, one.metric_name) for one in ModelCard(card).data.eval_results] == [
        ("f1", "Macro F1"), ("f1", "Micro F1"), ("exact_match", "Exact match")
    ]  # fmt: skip
    assert "| Macro F1, verdict dev (872) | 0.5000 (teacher, full precision: not measured) |" in card


@pytest.mark.parametrize(
    ("teacher", "base_model", "said"),
    [
        ("someone/a-bert", "someone/a-bert", "someone/a-bert with 1-bit"),
        ("FOLDER", None, "a-bert with 1-bit"),
        ("/nowhere/a-bert", None, "a-bert with 1-bit"),
        ("BertForSequenceClassification", None, "BertForSequenceClassification with 1-bit"),
    ],
)
def test_what_it_was_made_of(program, tmp_path, teacher, base_model, said):
    (tmp_path / "a-bert").mkdir()
    card = model_card(program, name="mine", teacher=teacher.replace("FOLDER", str(tmp_path / "a-bert")))
    assert ModelCard(card).data.base_model == base_model and f"\n{said}" in card and str(tmp_path) not in card


def test_a_program_without_figures_has_a_card(program):
    card = model_card(program, name="mine")
    data = ModelCard(card).data
    assert data.eval_results is None and data.base_model is None and "|" not in card.split("---\n", 2)[2]
    assert "1-bit weights and 4-bit levels" in card and "Labels: LABEL_0, LABEL_1." in card
    assert not [line for line in card.splitlines() if "None" in line or "{" in line]


def test_a_network_trained_for_the_count_alone_says_so(program):
    assert "Training held the silent share only." in model_card(program, result(), recipe(), name="mine")
    priced = model_card(program, result(), load_recipe("sst2").priced("rram-22nm"), name="mine")
    assert "according to what they cost on rram-22nm" in priced and "silent share only" not in priced


def test_phases_are_told_with_what_they_reached(program):
    phases = recipe().phases
    card = model_card(program, result(), recipe(), [history(2400, 0.138) for _ in phases], name="mine")
    assert f"Phase 0 (k = {phases[0].dead_zone}): the best of 2 evaluations on the held-out rows was at" in card
    assert "at step 2400, with a divergence of 0.138 from the teacher." in card
    plain = SimpleNamespace(best_step=5, history=[{"step": 5, "accuracy": 0.5}])
    assert "was at step 5." in model_card(program, result(), recipe(), [plain], name="mine")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"texts": ["mnli", "qqp"], "texts_each": 9000},
            "Up to 9,000 training rows each of mnli, qqp were added, without labels.",
        ),
        ({"recombined": 1500}, "1,500 more rows are training rows in which a piece was replaced"),
        ({"edited": 1500}, "1,500 more rows are training rows with one token added, dropped or moved."),
        ({"rematched": 90000}, "Up to 90,000 more rows are pairs of sentences from different training rows."),
        ({"reworded": 700}, "700 more rows are training rows in which words were replaced by similar ones."),
        ({"start": "mrpc"}, "It starts from mrpc."),
        ({"network": {"blocks": [0, 3]}}, "| Blocks | 2 of the teacher's: 0, 3 |"),
    ],
)
def test_the_recipe_is_told(program, changes, sentence):
    none = {"texts": [], "recombined": 0, "edited": 0, "rematched": 0, "reworded": 0, "start": None, "network": {}}
    card = model_card(program, result(), recipe(**(none | changes)), name="mine")
    assert sentence in card
    assert card.count(" more rows are ") == ("more rows" in sentence)


def test_formats_are_the_programs():
    card = model_card(small_program(k=3, weights="ternary", dead_zones={"probabilities": 1}), name="mine")
    assert "ternary weights and 4-bit levels" in card and "a dead zone of\n3 (probabilities: 1)." in card


def test_what_is_not_known_is_not_made_up(program):
    unknown = {"silent_share": None, "quiet_share": None, "events_per_token": None, "verify": None}
    card = model_card(program, result(spiking=unknown), recipe(), name="mine")
    for name in ("Silent share", "Quiet share", "Events per token"):
        assert name not in card
    assert "| Verified | not yet |" in card
