"""A whole training run from a recipe: teacher, then rounds of distillation, each resumable on its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import AutoTokenizer, BertForSequenceClassification, PreTrainedTokenizerBase, set_seed

from ..models import MatterhornForSequenceClassification
from ..msu import deviating, load_device
from .augment import edit, recombine, rematch, reword
from .backbones import embedding_table, locate
from .checkpoint import is_done
from .chips import Chips
from .data import Tokens, hold_out, load_examples, tokenize
from .distil import Distillation
from .lessons import Memory, beside_teacher
from .loop import Measure, multiplies_bf16, run_phase
from .recipe import Distilling, Recipe, Round
from .shares import Shares
from .start import find_start, mixture, start_student
from .tasks import get_task
from .teacher import fine_tune, freeze, load_teacher
from .texts import join, load_texts, vocabulary
from .tutor import lessons

SILENCE_TOLERANCE = 0.005
SHORTFALL_WEIGHT = 10.0
"""In a round with a target, silence missing beyond the tolerance counts this much against the figure to choose by."""


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
    first = recipe.rounds[0].dead_zone
    start = find_start(folder, recipe.start_from, first) if recipe.start_from else None
    previous = start.network if start else folder / "teacher" / "best"
    lesson = learn
    if recipe.tutor and not is_done(folder / "teacher" / "last"):
        lesson = lessons(recipe, recipe.tutor, task, rows, chosen, folder / "tutor", tokenizer)
    fine_tune(recipe, task, lesson, select, folder / "teacher", start.teacher if start else None)
    if recipe.writing:
        from .writer import written_rows  # asks more of transformers than the rest does

        written = written_rows(recipe.writing, task, rows, folder / "written", recipe.seed)
        learn = join([learn, tokenize(written, tokenizer, task, recipe.max_length)])
    learn = distillation_rows(recipe, learn, tokenizer, glue_dir)
    other = start is not None and start.task != task.name

    def teacher() -> BertForSequenceClassification:
        return load_teacher(folder / "teacher" / "best", task)

    measure = beside_teacher(task, freeze(teacher()))
    return distil_rounds(recipe, folder, previous, teacher, measure, learn, select, tokenizer, other_task=other)


def distillation_rows(
    recipe: Recipe, rows: Tokens, tokenizer: PreTrainedTokenizerBase, glue_dir: Path | None
) -> Tokens:
    """What the student learns on: the task's rows (given and written), new sentences of their pieces, the same with a
    mistake, texts of others, and all of them in other words."""
    more = load_texts(recipe, tokenizer, glue_dir, alone=len(get_task(recipe.task).text) == 1)
    if recipe.recombined:
        more.append(recombine(rows, recipe.recombined, recipe.seed))
    if recipe.edited:
        more.append(edit(rows, set(tokenizer.all_special_ids), recipe.edited, recipe.seed))
    if recipe.rematched:
        more.append(rematch(rows, embedding_table(recipe.backbone), recipe.rematched, recipe.seed))
    given = join([rows, *more]) if more else rows
    if not recipe.reworded:
        return given
    table, words = embedding_table(recipe.backbone), vocabulary(tokenizer)
    return join([given, reword(given, table, words, recipe.reworded, recipe.seed)])


def distil_rounds(
    recipe: Distilling,
    folder: Path,
    start: Path,
    load: Callable[[], BertForSequenceClassification],
    measure: Measure,
    learn: Tokens,
    select: Tokens,
    tokenizer: PreTrainedTokenizerBase,
    *,
    other_task: bool = False,
) -> Path:
    """All rounds of a recipe that are not done yet, each from where the last one ended; the last one's best network.

    Args:
        start: folder that the first round starts from; ``other_task``: one of another task.
        load: the teacher, anew for each round.
    """
    for number, settings in enumerate(recipe.rounds):
        place = folder / f"round-{number}-k{settings.dead_zone}"
        if not is_done(place / "last"):
            teacher = load()
            set_seed(recipe.seed)
            student = start_student(recipe, settings, start, learn, teacher, other_task=other_task and number == 0)
            distil_round(recipe, settings, measure, learn, select, teacher, student, place)
        if PartialState().is_main_process:
            tokenizer.save_pretrained(place / "best")
        start = place / "best"
    return start


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
        loss.shares = Shares(student, mixture(recipe, learn), settings.silent_target, settings.batch_size)
    if recipe.remember_teacher:
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bf16()):
            loss.memory = Memory(teacher, learn)

    def score(figure: float) -> float:
        missing = (settings.silent_target or 0.0) - SILENCE_TOLERANCE - state.get("silent", 1.0)
        return figure - SHORTFALL_WEIGHT * max(0.0, missing)

    run_phase(student, loss, measure, learn, select, settings, place, recipe.seed, state, score)
