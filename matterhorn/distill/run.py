"""Run a recipe: fine-tune the teacher, then run all phases. Each of these steps can be resumed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from ..errors import InputError
from ..models import QuantizedForSequenceClassification
from ..models.encoders import encoder_of
from ..msu import deviating, load_device
from ..storage import claim, put_file
from ..tasks.rows import hold_out, load_examples
from ..tasks.task import Task, get_task
from ..tasks.tokens import PADDED_LENGTHS, Tokens, tokenize
from .batches import usual_rows
from .compare import TASK, with_likeness, with_strangers
from .loop import Extras, check_tracker, run_phase
from .loss import Distillation, Teacher
from .measure import Measure, Measured, ask, by_divergence, by_hidden_error, by_majority, by_metric
from .noise import Chips
from .price import prices_of
from .provenance import about_run, processes
from .recipe import Distilling, Recipe, as_yaml
from .silence import Silence
from .start import RECIPE_FILE, Start, check_fits, find_start
from .state import is_done
from .steps import multiplies_bf16
from .student import mixture, start_student
from .teacher import backbone_tokenizer, freeze, load_classifier, load_teacher, locate, task_loss
from .texts import distillation_rows, evaluation_sentences, general_rows

SILENCE_TOLERANCE = 0.005
SHORTFALL_WEIGHT = 10.0
"""Weight in the score, in a phase that holds a share, of silence that is missing beyond the tolerance."""

COMPARED = 20_000
"""Maximum number of rows on which the teacher of a recipe without a task learns to compare."""


@dataclass(frozen=True)
class Lesson:
    """What all phases of a run have in common.

    Attributes:
        teacher: loads the teacher anew for each phase.
        learn, select: training rows, and held-out rows.
        measure: evaluates a student on the held-out rows.
        tokenizer: tokenizer of the backbone, which is saved with the networks.
    """

    teacher: Callable[[], PreTrainedModel]
    learn: Tokens
    select: Tokens
    measure: Measure
    tokenizer: PreTrainedTokenizerBase


RUN_PARTS = ("teacher", "phase-[0-9]*-k[0-9]*", "logs", RECIPE_FILE)
"""What a run writes to its folder."""


def train(
    recipe: Recipe,
    folder: Path,
    glue_dir: Path | None = None,
    *,
    tracker: str | None = None,
    restart: bool = False,
) -> Path:
    """Run a recipe in ``folder``, resuming what is there. Returns the folder of the last phase's best network.

    Args:
        tracker: report evaluations to one of accelerate's trackers, e.g. tensorboard.
        restart: discard what an earlier run left there, instead of resuming it.

    Raises:
        InputError: rows, backbone, start or tracker are missing; the folder belongs to another run (another recipe,
            other rows or networks) or to none, or another process trains there; or a GPU has too little memory.
    """
    check_tracker(tracker)
    main = processes().is_main_process
    start = find_start(folder, recipe.start, recipe.phases[0].dead_zone) if recipe.start else None
    about = about_run(recipe, start, glue_dir)
    with claim(folder, about, RUN_PARTS, restart=restart) if main else nullcontext():
        if main:
            put_file(folder / RECIPE_FILE, as_yaml(recipe))
        try:
            return _run(recipe, folder, glue_dir, start, tracker)
        except torch.OutOfMemoryError as error:  # (within a step, the error is raised there, with the step's size)
            cure = f"lower it (now {recipe.max_length}), or free the GPU; what was saved before is as it was"
            raise InputError("out of GPU memory between steps", file=folder, field="max_length", cure=cure) from error


def _run(recipe: Recipe, folder: Path, glue_dir: Path | None, start: Start | None, tracker: str | None) -> Path:
    """Train the teacher and run the phases, in a folder that this process holds."""
    if recipe.task is None:
        lesson = _general_lesson(recipe, folder, glue_dir, tracker)
    else:
        lesson = _task_lesson(recipe, folder, glue_dir, start, tracker)
    source, own_head = (start.network, start.task == recipe.task) if start else (None, True)
    place = folder
    for number, phase in enumerate(recipe.phases):
        place = folder / f"phase-{number}-k{phase.dead_zone}"
        if not is_done(place / "last"):
            teacher, rows = lesson.teacher(), (lesson.learn, lesson.select)
            set_seed(recipe.seed)
            student, planned = start_student(
                phase,
                source,
                lesson.learn,
                teacher,
                recipe.network,
                recipe.seed,
                head=own_head,
                latents=start.latents if start else None,
            )
            freeze(teacher, torch.bfloat16 if multiplies_bf16() else torch.float32)
            loss = loss_of(planned, student, partial(ask, teacher), lesson.learn, recipe.seed)
            measure = with_shortfall(lesson.measure, loss.silence)
            extras = Extras(lesson.tokenizer, loss.parts)
            order = recipe.seed + number  # seed of the order of rows, different in each phase
            run_phase(student, loss, measure, *rows, phase, place, order, tracker=tracker, extras=extras)
        source, own_head = place / "best", True
    return place / "best"


def _task_lesson(
    recipe: Recipe, folder: Path, glue_dir: Path | None, start: Start | None, tracker: str | None
) -> Lesson:
    """Fine-tune the teacher of a task, from that of ``start`` or else from the backbone, and return the lesson."""
    assert recipe.task is not None and recipe.teacher is not None
    task, tokenizer, place = get_task(recipe.task), backbone_tokenizer(recipe.backbone), folder / "teacher"
    fast = tokenizer.backend_tokenizer
    examples = load_examples(task, "train", glue_dir)
    rows, chosen = hold_out(examples, recipe.selection_rows, recipe.seed, fragments=task.fragments)
    learn, select = (tokenize(some, fast, task, recipe.max_length) for some in (rows, chosen))
    _check_rows(learn, select, folder)
    excluded = evaluation_sentences(task, chosen, glue_dir) if recipe.texts or recipe.sources else frozenset[str]()
    excluded_rows = {tuple(ids) for ids in select.ids}
    if recipe.reworded or recipe.recombined or recipe.edited or recipe.rematched:
        dev = tokenize(load_examples(task, "dev", glue_dir), fast, task, recipe.max_length)
        excluded_rows |= {tuple(ids) for ids in dev.ids}
    distilled = distillation_rows(recipe, learn, fast, glue_dir, excluded=excluded, excluded_rows=excluded_rows)
    set_seed(recipe.seed)
    model = load_teacher((start and start.teacher) or locate(recipe.backbone), task, head=False)
    check_fits(start, model, recipe.network)
    _check_lengths(recipe, model, distilled, select)
    reached = _fine_tune(model, recipe, task, learn, select, place, Extras(tokenizer), tracker)
    if reached < (least := by_majority(task, select)):
        problem = f"the teacher's {task.metrics[0]} is {reached:.3f}, that of the commonest label alone {least:.3f}"
        cure = "train it longer or at another learning_rate, with --restart, or mend the labels"
        raise InputError(problem, file=place, field="teacher", cure=cure)
    teacher = partial(load_teacher, place / "best", task)
    return Lesson(teacher, distilled, select, by_divergence(task, freeze(teacher())), tokenizer)


def _fine_tune(
    model: PreTrainedModel,
    recipe: Recipe,
    task: Task,
    learn: Tokens,
    select: Tokens,
    place: Path,
    extras: Extras,
    tracker: str | None,
) -> float:
    """Fine-tune a teacher on labeled rows in the folder ``place``. Returns the best metric on the held-out rows."""
    assert recipe.teacher is not None
    model.base_model.embeddings.requires_grad_(recipe.teacher.train_embeddings)
    settings, measure = recipe.teacher, by_metric(task)
    progress = run_phase(
        model, task_loss, measure, learn, select, settings, place, recipe.seed, tracker=tracker, extras=extras
    )
    return progress.best


def _general_lesson(recipe: Recipe, folder: Path, glue_dir: Path | None, tracker: str | None) -> Lesson:
    """Return the lesson of a run without a task: the backbone teaches its hidden states on the texts of several tasks.

    Few-bit weights and silence are thus learned once, before any task (TinyBERT's general distillation, arXiv
    1909.10351). If the recipe has a ``teacher``, the backbone first learns to compare two texts (:mod:`~.compare`), and
    then teaches its answers too.
    """
    tokenizer = backbone_tokenizer(recipe.backbone)
    learn, select = general_rows(recipe, tokenizer.backend_tokenizer, glue_dir)
    _check_rows(learn, select, folder)

    def backbone() -> PreTrainedModel:
        set_seed(recipe.seed)  # seed of the head, which the backbone does not have
        return load_classifier(locate(recipe.backbone))

    embedder = freeze(backbone())
    _check_lengths(recipe, embedder, learn, select)
    if recipe.teacher is None:
        return Lesson(backbone, learn, select, by_hidden_error(embedder), tokenizer)
    task, place = get_task(TASK), folder / "teacher"
    learn, held = with_strangers(learn, recipe.seed), with_likeness(with_strangers(select, recipe.seed), embedder)
    if not is_done(place / "last"):
        set_seed(recipe.seed)
        model = load_teacher(locate(recipe.backbone), task, head=False)
        pairs = with_likeness(learn.subset(list(range(min(COMPARED, len(learn))))), embedder)
        _fine_tune(model, recipe, task, pairs, held, place, Extras(tokenizer), tracker)
    teacher = partial(load_teacher, place / "best", task)
    return Lesson(teacher, learn, held, by_divergence(task, freeze(teacher())), tokenizer)


def _check_rows(learn: Tokens, select: Tokens, folder: Path) -> None:
    """Check that there are rows to learn from, and rows to select by.

    Raises:
        InputError: there are none.
    """
    if not (len(learn) and len(select)):
        problem = f"{len(learn)} rows to learn from, {len(select)} to choose by"
        raise InputError(problem, file=folder, field="texts", cure="give more, five rows at least")


def _check_lengths(recipe: Recipe, backbone: PreTrainedModel, *parts: Tokens) -> None:
    """Check that a backbone has a position for every token of the rows, padded as the phases need them.

    Raises:
        InputError: a row is too long.
    """
    most = encoder_of(backbone).options(backbone)["max_position_embeddings"]
    if any(phase.tokens for phase in (recipe.teacher, *recipe.phases) if phase):
        most = max((length for length in PADDED_LENGTHS if length <= most), default=most)
    for part in parts:
        part.check_length(most)


def loss_of(
    phase: Distilling, student: QuantizedForSequenceClassification, teacher: Teacher, learn: Tokens, seed: int
) -> Distillation:
    """Make the loss of a phase, including control of silence, deviating cells and prices."""
    loss = Distillation(student, teacher, phase.logit_weight, phase.hidden_weight, phase.embedding_weight)
    if phase.device_deviation:
        device = deviating(load_device(phase.device), phase.device_deviation)
        loss.chips = Chips(student, device, seed, renew=phase.evaluate_every)
    if phase.silent_share or phase.quiet_share:
        loss.silence = Silence(
            student,
            mixture(learn, seed),
            batch_size=usual_rows(learn, phase, seed),
            silent_share=phase.silent_share,
            quiet_share=phase.quiet_share,
            densities=phase.densities or None,
        )
    if phase.price:
        loss.prices = prices_of(student, phase.price, mixture(learn, seed))
    return loss


def with_shortfall(measure: Measure, silence: Silence | None) -> Measure:
    """Make a measure whose score is reduced if a share of silence that should be held is not reached."""
    if silence is None:
        return measure

    def reduced(model: PreTrainedModel, rows: Tokens, accelerator: Accelerator) -> Measured:
        found = measure(model, rows, accelerator)
        shortfall = max(0.0, silence.missing - SILENCE_TOLERANCE)
        return found._replace(score=found.score - SHORTFALL_WEIGHT * shortfall)

    return reduced
