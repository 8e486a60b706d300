"""A whole training run from a recipe: teacher, then rounds of distillation, each resumable on its own."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import AutoTokenizer, BertForSequenceClassification, set_seed

from ..errors import InputError
from ..models import MatterhornForSequenceClassification, from_bert
from ..models.balance import balance
from ..models.from_bert import calibrate_steps, settle_silence
from ..models.placement import place_steps
from ..msu import deviating, load_device
from .backbones import locate
from .checkpoint import is_done
from .chips import Chips
from .data import Tokens, hold_out, load_examples, shuffled_batches, tokenize
from .distil import Distillation
from .lessons import Memory
from .loop import Measure, metrics_of, multiplies_bf16, run_phase
from .recipe import Distilling, Recipe, Round
from .shares import Shares
from .tasks import get_task
from .teacher import fine_tune, freeze, load_teacher
from .texts import join, load_texts

CALIBRATION_BATCHES, MIXTURE_ROWS = 32, 192
SILENCE_TOLERANCE = 0.005
SHORTFALL_WEIGHT = 10.0
"""In a round with a target, silence missing beyond the tolerance counts this much against the metric."""


def train(recipe: Recipe, folder: Path, glue_dir: Path | None) -> Path:
    """Run a recipe in ``folder`` (resuming what is there) and return the folder of the last round's best network."""
    task = get_task(recipe.task)
    main = PartialState(cpu=not torch.cuda.is_available()).is_main_process
    folder.mkdir(parents=True, exist_ok=True)
    if main:
        (folder / "recipe.json").write_text(recipe.model_dump_json(indent=1))
    tokenizer = AutoTokenizer.from_pretrained(locate(recipe.backbone))
    examples = load_examples(task, "train", glue_dir)
    rows, chosen = hold_out(examples, recipe.selection_rows, recipe.seed, fragments=task.fragments)
    learn, select = (tokenize(examples, tokenizer, task, recipe.max_length) for examples in (rows, chosen))
    start = folder.parent / recipe.start_from if recipe.start_from else None
    previous = last_round(start) if start else folder / "teacher" / "best"
    fine_tune(recipe, task, learn, select, folder / "teacher", start and start_of_teacher(start))
    if recipe.texts:
        learn = join([learn, *load_texts(recipe, tokenizer, glue_dir)])
    for number, settings in enumerate(recipe.rounds):
        place = folder / f"round-{number}-k{settings.dead_zone}"
        if not is_done(place / "last"):
            teacher = load_teacher(folder / "teacher" / "best", task)
            set_seed(recipe.seed)
            other = start is not None and number == 0
            student = start_student(recipe, settings, previous, learn, teacher, other_task=other)
            distil_round(recipe, settings, metrics_of(task), learn, select, teacher, student, place)
        if main:
            tokenizer.save_pretrained(place / "best")
        previous = place / "best"
    return previous


def start_of_teacher(run: Path) -> Path | None:
    """The teacher of another task's run; None (the backbone) after a general run, which has none."""
    teacher = run / "teacher" / "best"
    return teacher if teacher.is_dir() else None


def last_round(folder: Path) -> Path:
    """The best network of a run's last round."""
    rounds = sorted(folder.glob("round-*/best/config.json"), key=lambda path: int(path.parts[-3].split("-")[1]))
    if not rounds:
        raise InputError("no finished round", file=folder, field="start_from", cure="train that recipe first")
    return rounds[-1].parent


def distil_round(
    recipe: Distilling,
    settings: Round,
    measure: Measure,
    learn: Tokens,
    select: Tokens,
    teacher: BertForSequenceClassification,
    student: MatterhornForSequenceClassification,
    place: Path,
) -> None:
    """One round of distillation from a teacher; the best student lands in ``place/best``."""
    freeze(teacher, torch.bfloat16 if multiplies_bf16() else torch.float32)
    state: dict[str, float] = {}
    loss = Distillation(student, teacher, settings, state)
    if settings.device_deviation:
        device = deviating(load_device(recipe.device), settings.device_deviation)
        loss.chips = Chips(student, device, recipe.seed, renew=settings.evaluate_every)

    if settings.hold_shares and settings.silent_target:
        loss.shares = Shares(student, _mixture(recipe, learn), settings.silent_target)
    if recipe.remember_teacher:
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bf16()):
            loss.memory = Memory(teacher, learn)

    def score(figure: float) -> float:
        missing = (settings.silent_target or 0.0) - SILENCE_TOLERANCE - state.get("silent", 1.0)
        return figure - SHORTFALL_WEIGHT * max(0.0, missing)

    run_phase(student, loss, measure, learn, select, settings, place, recipe.seed, state, score)


def start_student(
    recipe: Distilling,
    settings: Round,
    source: Path,
    learn: Tokens,
    teacher: BertForSequenceClassification,
    *,
    other_task: bool = False,
) -> MatterhornForSequenceClassification:
    """The network a round starts from, with the round's dead zone and silent levels chosen on training rows for it.

    Levels that were trained with that dead zone already are kept: choosing anew costs accuracy and gains nothing.

    Args:
        source: folder of the teacher, or of a quantised network whose blocks it takes over.
        other_task: that network was trained for another task: its head is not taken over.
    """
    batches = [
        learn.batch(rows)
        for rows in itertools.islice(shuffled_batches(learn, settings.batch_size, recipe.seed), CALIBRATION_BATCHES)
    ]
    largest = max(batches, key=lambda batch: batch["input_ids"].numel())
    student, trained_at = from_bert(teacher, **recipe.network), None
    if json.loads((source / "config.json").read_text())["model_type"] == "bert":
        balance(student, teacher, largest)
        calibrate_steps(student, largest)
    else:
        before = MatterhornForSequenceClassification.from_pretrained(source)
        take_over(student, before, head=not other_task)
        trained_at = before.config.dead_zone
    student.set_dead_zone(settings.dead_zone)
    if settings.place_steps and settings.silent_target:
        place_steps(student, _mixture(recipe, learn), settings.silent_target)
    elif trained_at != settings.dead_zone:
        settle_silence(student, batches)
    for population in student.populations().values():
        population.step.requires_grad_(not (settings.hold_steps or settings.hold_shares))
    return student


def _mixture(recipe: Distilling, learn: Tokens) -> dict[str, torch.Tensor]:
    """Training rows of all lengths in one batch."""
    return learn.batch(random.Random(recipe.seed).sample(range(len(learn)), min(MIXTURE_ROWS, len(learn))))


def take_over(
    student: MatterhornForSequenceClassification, source: MatterhornForSequenceClassification, *, head: bool
) -> None:
    """Copy the blocks of another network, and its pooler and classifier with ``head``."""
    student.blocks.load_state_dict(source.blocks.state_dict())
    if head:
        student.pooler.load_state_dict(source.pooler.state_dict())
        student.classifier.load_state_dict(source.classifier.state_dict())
