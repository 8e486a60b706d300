"""A whole training run from a recipe: teacher, then rounds of distillation, each resumable on its own."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import torch
from transformers import AutoTokenizer, set_seed

from ..models import MatterhornForSequenceClassification, from_bert
from ..models.from_bert import calibrate_steps, choose_silence, level_histograms, widen_steps
from .backbones import locate
from .data import Tokens, hold_out, load_examples, shuffled_batches, tokenize
from .distil import Distillation
from .loop import multiplies_bf16, run_phase
from .recipe import Recipe, Round
from .tasks import Task, get_task
from .teacher import fine_tune, freeze, load_teacher

CALIBRATION_BATCHES = 32
SILENCE_TOLERANCE = 0.005
SHORTFALL_WEIGHT = 10.0
"""In a round with a target, silence missing beyond the tolerance counts this much against the metric."""


def train(recipe: Recipe, folder: Path, glue_dir: Path | None) -> Path:
    """Run a recipe in ``folder`` (resuming what is there) and return the folder of the last round's best network."""
    task = get_task(recipe.task)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text(recipe.model_dump_json(indent=1))
    tokenizer = AutoTokenizer.from_pretrained(locate(recipe.backbone))
    examples = load_examples(task, "train", glue_dir)
    rows, chosen = hold_out(examples, recipe.selection_rows, recipe.seed, fragments=task.fragments)
    learn, select = (tokenize(examples, tokenizer, task, recipe.max_length) for examples in (rows, chosen))
    fine_tune(recipe, task, learn, select, folder / "teacher")
    previous = folder / "teacher" / "best"
    for number, settings in enumerate(recipe.rounds):
        place = folder / f"round-{number}-k{settings.dead_zone}"
        distil_round(recipe, settings, task, learn, select, folder / "teacher" / "best", previous, place)
        tokenizer.save_pretrained(place / "best")
        previous = place / "best"
    return previous


def distil_round(
    recipe: Recipe,
    settings: Round,
    task: Task,
    learn: Tokens,
    select: Tokens,
    teacher_folder: Path,
    start_folder: Path,
    place: Path,
) -> None:
    """One round: start from the teacher or the last round's network, place silence and dead zone, distil."""
    set_seed(recipe.seed)
    teacher = load_teacher(teacher_folder, task)
    student = start_student(recipe, settings, start_folder, learn, task)
    freeze(teacher, torch.bfloat16 if multiplies_bf16() else torch.float32)
    state: dict[str, float] = {}
    loss = Distillation(student, teacher, settings, state)

    def score(figures: dict[str, float]) -> float:
        missing = (settings.silent_target or 0.0) - SILENCE_TOLERANCE - state.get("silent", 1.0)
        return figures[task.metrics[0]] - SHORTFALL_WEIGHT * max(0.0, missing)

    run_phase(student, loss, task, learn, select, settings, place, recipe.seed, state, score)


def start_student(
    recipe: Recipe, settings: Round, source: Path, learn: Tokens, task: Task
) -> MatterhornForSequenceClassification:
    """The network a round starts from, with silent levels chosen on training rows and the round's dead zone."""
    batches = [
        learn.batch(rows)
        for rows in itertools.islice(shuffled_batches(learn, settings.batch_size, recipe.seed), CALIBRATION_BATCHES)
    ]
    if json.loads((source / "config.json").read_text())["model_type"] == "bert":
        student = from_bert(load_teacher(source, task), **recipe.network)
        calibrate_steps(student, max(batches, key=lambda batch: batch["input_ids"].numel()))
    else:
        student = MatterhornForSequenceClassification.from_pretrained(source)
    student.embeddings.requires_grad_(False)
    histograms = level_histograms(student, batches)
    student.set_dead_zone(settings.dead_zone)
    choose_silence(student, histograms)
    if settings.widen_steps and settings.silent_target:
        widen_steps(student, max(batches, key=lambda batch: batch["input_ids"].numel()), settings.silent_target)
        choose_silence(student, level_histograms(student, batches))
        for population in student.populations().values():
            population.step.requires_grad_(False)
    return student
