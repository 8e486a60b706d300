"""Where a run and its rounds begin: at a teacher, at another run, or at a shipped spiking network."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import BertForSequenceClassification

from ..errors import InputError
from ..models import MatterhornForSequenceClassification, from_bert
from ..models.balance import balance
from ..models.checkpoint import load_config, load_spiking
from ..models.from_bert import calibrate_steps, settle_silence
from ..models.placement import place_densities, place_steps
from ..models.restore import restore_trainable, spread
from ..models.widen import widen
from ..zoo import ZOO, shipped
from .data import Tokens, shuffled_batches
from .recipe import Distilling, Round

CALIBRATION_BATCHES, MIXTURE_ROWS = 32, 192


@dataclass(frozen=True)
class Start:
    """Folders of a network, of the teacher it had (None: it had none, the backbone stands for it), and its task."""

    network: Path
    teacher: Path | None
    task: str | None


def find_start(run: Path, name: str, dead_zone: int) -> Start:
    """Another run of that name beside the folder ``run``, else the shipped spiking model of that name.

    Of a run it takes the last round with that dead zone, else the last round: silence that a network has learned is
    kept, and one that is to begin without silence does not begin from silent ones.
    """
    folder = run.parent / name
    if (folder == run or not folder.is_dir()) and name in shipped():
        return Start(ZOO / name, None, load_config(ZOO / name).task)
    rounds = finished_rounds(folder)
    if not rounds:
        cure = f"train that recipe first, or start from a shipped model ({', '.join(shipped())})"
        raise InputError("no finished round", file=folder, field="start_from", cure=cure)
    teacher, recipe = folder / "teacher" / "best", folder / "recipe.json"
    task = json.loads(recipe.read_text()).get("task") if recipe.is_file() else None
    alike = [place for place in rounds if place.name.endswith(f"-k{dead_zone}")]
    return Start((alike or rounds)[-1] / "best", teacher if teacher.is_dir() else None, task)


def finished_rounds(run: Path) -> list[Path]:
    """Folders of a run's rounds that have a network, in the order in which they ran."""
    found = [path.parents[1] for path in run.glob("round-*/best/config.json")]
    return sorted(found, key=lambda path: int(path.name.split("-")[1]))


def is_packed(folder: Path) -> bool:
    """Whether a folder holds a spiking checkpoint, of whose weights only what they are quantised to is kept."""
    return bool(json.loads((folder / "config.json").read_text())["model_type"] == "matterhorn-spiking")


def trained_network(folder: Path) -> MatterhornForSequenceClassification:
    """The quantised network in a folder, or the one behind a spiking checkpoint."""
    if is_packed(folder):
        return restore_trainable(load_spiking(folder))
    return MatterhornForSequenceClassification.from_pretrained(folder)


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
    A silent network that goes back to no dead zone gets its steps anew: silence asked for others.

    Args:
        source: folder of the teacher, or of a quantised or spiking network whose blocks it takes over.
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
        before = trained_network(source)
        wide = widen(before, student.config.intermediate_size)
        take_over(student, spread(wide) if is_packed(source) else wide, head=not other_task)
        trained_at = before.config.dead_zone
    student.set_dead_zone(settings.dead_zone)
    if trained_at and not settings.dead_zone:
        calibrate_steps(student, largest)
    if settings.place_steps and settings.silent_target and settings.densities:
        place_densities(student, mixture(recipe, learn), settings.silent_target, settings.densities)
    elif settings.place_steps and settings.silent_target:
        place_steps(student, mixture(recipe, learn), settings.silent_target)
    elif trained_at != settings.dead_zone:
        settle_silence(student, batches)
    for population in student.populations().values():
        population.step.requires_grad_(not (settings.hold_steps or settings.hold_shares))
    return student


def mixture(recipe: Distilling, learn: Tokens) -> dict[str, torch.Tensor]:
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
