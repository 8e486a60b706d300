"""A whole training run of a recipe: a teacher, then its phases, each resumable on its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from transformers import BertForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase, set_seed

from ..models import QuantizedForSequenceClassification
from ..msu import deviating, load_device
from ..program import Program
from ..tasks.rows import hold_out, load_examples
from ..tasks.task import get_task
from ..tasks.tokens import Tokens, tokenize
from .loop import check_tracker, multiplies_bf16, run_phase
from .loss import Distillation, Teacher
from .measure import Measure, Measured, ask, by_divergence, by_hidden_error
from .noise import Chips
from .recipe import Distilling, Recipe, as_yaml
from .silence import Silence
from .start import RECIPE_FILE, Start, find_start, mixture, start_student
from .state import is_done
from .teacher import backbone_tokenizer, fine_tune, freeze, load_teacher, locate
from .texts import distillation_rows, general_rows

SILENCE_TOLERANCE = 0.005
SHORTFALL_WEIGHT = 10.0
"""In a phase that holds a share, silence missing beyond the tolerance counts this much against the score."""


@dataclass(frozen=True)
class Lesson:
    """What a student learns: from whom (``teacher``: anew for each phase), on which rows, and how it is judged on those
    held out."""

    teacher: Callable[[], BertForSequenceClassification]
    learn: Tokens
    select: Tokens
    measure: Measure
    tokenizer: PreTrainedTokenizerBase


def train(recipe: Recipe, folder: Path, glue_dir: Path | None = None, *, tracker: str | None = None) -> Path:
    """Run a recipe in ``folder`` (resuming what is there) and return the folder of the last phase's best network.

    ``tracker``: report evaluations to one of accelerate's, e.g. tensorboard.

    Raises:
        InputError: rows, backbone, start or tracker are missing.
    """
    check_tracker(tracker)
    folder.mkdir(parents=True, exist_ok=True)
    if PartialState(cpu=not torch.cuda.is_available()).is_main_process:
        (folder / RECIPE_FILE).write_text(as_yaml(recipe), encoding="utf-8")
    start = find_start(folder, recipe.start, recipe.phases[0].dead_zone) if recipe.start else None
    if recipe.task is None:
        lesson, source = _general_lesson(recipe, glue_dir), Path(locate(recipe.backbone))
    else:
        lesson, source = _task_lesson(recipe, folder, glue_dir, start, tracker), folder / "teacher" / "best"
    return run_phases(
        recipe,
        folder,
        start.network if start else source,
        lesson,
        other_task=start is not None and start.task != recipe.task,
        tracker=tracker,
    )


def _task_lesson(
    recipe: Recipe, folder: Path, glue_dir: Path | None, start: Start | None, tracker: str | None
) -> Lesson:
    """Fine-tune the teacher of a task; its lesson."""
    assert recipe.task is not None
    task, tokenizer = get_task(recipe.task), backbone_tokenizer(recipe.backbone)
    fast = tokenizer.backend_tokenizer
    examples = load_examples(task, "train", glue_dir)
    rows, chosen = hold_out(examples, recipe.selection_rows, recipe.seed, fragments=task.fragments)
    learn, select = (tokenize(some, fast, task, recipe.max_length) for some in (rows, chosen))
    fine_tune(recipe, task, learn, select, folder / "teacher", start.teacher if start else None, tracker)

    def teacher() -> BertForSequenceClassification:
        return load_teacher(folder / "teacher" / "best", task)

    learn = distillation_rows(recipe, learn, fast, glue_dir)
    return Lesson(teacher, learn, select, by_divergence(task, freeze(teacher())), tokenizer)


def _general_lesson(recipe: Recipe, glue_dir: Path | None) -> Lesson:
    """The backbone teaches its hidden states on the texts of several tasks, so that one-bit weights and silence are
    learned once, before any task (TinyBERT's general distillation, arXiv 1909.10351)."""
    tokenizer = backbone_tokenizer(recipe.backbone)
    learn, select = general_rows(recipe, tokenizer.backend_tokenizer, glue_dir)

    def teacher() -> BertForSequenceClassification:
        set_seed(recipe.seed)  # of its head, which the backbone has not
        return BertForSequenceClassification.from_pretrained(locate(recipe.backbone))

    return Lesson(teacher, learn, select, by_hidden_error(freeze(teacher())), tokenizer)


def run_phases(
    recipe: Recipe,
    folder: Path,
    start: Path | Program,
    lesson: Lesson,
    *,
    other_task: bool = False,
    tracker: str | None = None,
) -> Path:
    """All phases of a recipe that are not done yet, each from where the last one ended; the last one's best network.

    ``start``: what the first phase starts from; ``other_task``: it was trained for another task.
    """
    for number, phase in enumerate(recipe.phases):
        place = folder / f"phase-{number}-k{phase.dead_zone}"
        if not is_done(place / "last"):
            teacher = lesson.teacher()
            set_seed(recipe.seed)
            student = start_student(
                phase, start, lesson.learn, teacher, recipe.network, recipe.seed, other_task=other_task and number == 0
            )
            freeze(teacher, torch.bfloat16 if multiplies_bf16() else torch.float32)
            loss = loss_of(phase, student, partial(ask, teacher), lesson.learn, recipe.seed)
            measure = with_shortfall(lesson.measure, loss.silence)
            rows = lesson.learn, lesson.select
            run_phase(student, loss, measure, *rows, phase, place, recipe.seed, tracker=tracker, remembered=loss.parts)
        if PartialState().is_main_process:
            lesson.tokenizer.save_pretrained(place / "best")
        start = place / "best"
    assert isinstance(start, Path)
    return start


def loss_of(
    phase: Distilling, student: QuantizedForSequenceClassification, teacher: Teacher, learn: Tokens, seed: int
) -> Distillation:
    """What a phase minimizes, and what goes on beside it: shares that are held, cells that stray."""
    loss = Distillation(student, teacher, phase.logit_weight, phase.hidden_weight)
    if phase.device_deviation:
        device = deviating(load_device(phase.device), phase.device_deviation)
        loss.chips = Chips(student, device, seed, renew=phase.evaluate_every)
    if phase.silent_share or phase.quiet_share:
        loss.silence = Silence(
            student,
            mixture(learn, seed),
            batch_size=phase.batch_size,
            silent_share=phase.silent_share,
            quiet_share=phase.quiet_share,
        )
    return loss


def with_shortfall(measure: Measure, silence: Silence | None) -> Measure:
    """A measure whose score suffers where a share that is to be held falls short."""
    if silence is None:
        return measure

    def judge(model: PreTrainedModel, rows: Tokens, accelerator: Accelerator) -> Measured:
        found = measure(model, rows, accelerator)
        shortfall = max(0.0, silence.missing - SILENCE_TOLERANCE)
        return found._replace(score=found.score - SHORTFALL_WEIGHT * shortfall)

    return judge
