"""From a user's teacher to a trained student: where it starts, which rows it reads, and for how long."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from tokenizers import Tokenizer
from transformers import PreTrainedModel, set_seed

from ..distill.augment import rematch, reword
from ..distill.loop import Kept, run_phase
from ..distill.measure import Measure, Measured, ask, by_divergence, predict
from ..distill.recipe import Distilling
from ..distill.run import loss_of
from ..distill.start import start_student
from ..distill.state import is_done
from ..distill.texts import join, vocabulary
from ..distill.verb import DENSITIES
from ..models import QuantizedForSequenceClassification, calibrate, quantize
from ..models.encoders import encoder_of
from ..models.general import GeneralEncoder, general_encoders, word_embeddings
from ..models.quantized import read_network
from ..models.watching import Batch
from ..tasks import Task
from ..tasks.tokens import Tokens
from .settings import Settings

REWORDED, REMATCHED, GIVEN_SHARE = 12_000, 3_000, 0.3
"""Rows made of the given ones to distill on: in other words, and of pairs crossed anew. The teacher says what they
mean, so that they need no labels. The given ones are repeated until they make up this share."""

MARGIN = 0.08
"""Of the events that a share allows: held back in training, as on new rows a little less is silent."""

FIRST_SHARE = 0.3
"""Share of the time for learning few-bit weights without a dead zone, where no task-free encoder has learned them."""

RATE, GENERAL_RATE, AVERAGE = 4e-4, 3e-4, 0.98

READINGS = 6
"""Times that the given rows are read at most, where an encoder has learned to compare: what it knows of pairs is worth
more on new ones than the errors of a classifier that learned a few rows by heart. With 575 instead of 300 steps on 500
rows it told 0.94 instead of 0.96 of what the classifier does of the labels of 1,498 others (docs/trials.md)."""

LOGIT_WEIGHT = 4.0
"""Of the answers' divergence beside the hidden states' error: of a pair task with 500 rows, 200 steps left 10 % less
divergence on 1,500 other rows than with 1 (docs/trials.md)."""

SCORE_WEIGHT = 7.0
"""The same for scores, whose squared errors are taken over the variance of the teacher's: of scores of pairs, more was
kept with it than with 4 (docs/trials.md)."""

SELECTION_ROWS = 100
"""Rows held out at most, to show how it goes."""

SPREAD_ROWS, TINY = 64, 1e-6
"""Rows on which a teacher's scores are measured, and the least variance that is believed."""


def find_general(teacher: PreTrainedModel, settings: Settings) -> GeneralEncoder | None:
    """The task-free encoder of a teacher's backbone with the formats that are asked for, if there is one."""
    asked = {"weights": settings.weights, "kv_bits": settings.kv_bits, "dead_zone": settings.dead_zone}
    for encoder in general_encoders():
        if all(encoder.options.get(name) == value for name, value in asked.items()) and encoder.is_of(teacher):
            return encoder
    return None


def comparing(teacher: PreTrainedModel, task: Task, general: GeneralEncoder | None) -> GeneralEncoder | None:
    """An encoder that compares, of other formats than those asked for, where a task has two sentences and the one it
    would start from, ``general``, does not compare."""
    if len(task.text) < 2 or (general and general.compares):
        return None
    return next((encoder for encoder in general_encoders() if encoder.compares and encoder.is_of(teacher)), None)


def held_out(given: int) -> int:
    """How many of so many training rows are not learned: a tenth, and :data:`SELECTION_ROWS` at most."""
    return min(SELECTION_ROWS, given // 10)


def logit_weight(teacher: PreTrainedModel, rows: Tokens, task: Task) -> float:
    """:data:`LOGIT_WEIGHT`; of scores :data:`SCORE_WEIGHT` over the variance of the teacher's, whatever their range."""
    if task.kind != "regression":
        return LOGIT_WEIGHT
    answers = predict(teacher, rows.subset(list(range(min(SPREAD_ROWS, len(rows))))))
    return SCORE_WEIGHT / max(float(answers.var(unbiased=False)), TINY)


def phases_of(
    settings: Settings, general: GeneralEncoder | None, given: int, weight: float = LOGIT_WEIGHT
) -> list[Distilling]:
    """The phases of a course: without a dead zone and then with one, or the second alone where an encoder has both.

    ``given``: rows to learn, without those made of them. ``weight``: of the answers beside the hidden states.
    """
    asked = {"silent_share": settings.silent_share, "quiet_share": settings.quiet_share}
    shares: dict[str, Any] = {name: share and share + MARGIN * (1 - share) for name, share in asked.items()}
    common: dict[str, Any] = {"batch_size": settings.batch_size, "average": AVERAGE, "logit_weight": weight}
    minutes = settings.minutes
    if settings.dead_zone == 0:
        return [Distilling(dead_zone=0, minutes=minutes, learning_rate=RATE, **common)]
    if general is not None:
        enough = math.ceil(READINGS * given / (GIVEN_SHARE * settings.batch_size)) if general.compares else None
        zone: dict[str, Any] = {"dead_zone": settings.dead_zone, "learning_rate": GENERAL_RATE}
        return [Distilling(minutes=minutes, steps=enough, **zone, **shares, **common)]
    densities = DENSITIES if settings.silent_share or settings.quiet_share else {}
    return [
        Distilling(dead_zone=0, minutes=FIRST_SHARE * minutes, learning_rate=RATE, **common),
        Distilling(
            dead_zone=settings.dead_zone,
            minutes=(1 - FIRST_SHARE) * minutes,
            learning_rate=RATE,
            densities=densities,
            **shares,
            **common,
        ),
    ]


def distillation_rows(rows: Tokens, teacher: PreTrainedModel, tokenizer: Tokenizer, seed: int) -> Tokens:
    """Training rows and rows made of them, without labels: pairs crossed anew, and all in other words."""
    table = word_embeddings(teacher)
    parts = [rows]
    if any(map(any, rows.types)):
        parts.append(rematch(rows, table, REMATCHED, seed))
    given = join(parts)
    made = [*parts[1:], reword(given, table, vocabulary(tokenizer), REWORDED, seed)]
    times = math.ceil(GIVEN_SHARE / (1 - GIVEN_SHARE) * sum(map(len, made)) / len(rows))
    return join([*(times * [rows]), *made])


def calibrated(
    teacher: PreTrainedModel, batches: Sequence[Batch], settings: Settings
) -> QuantizedForSequenceClassification:
    """A student that is not trained."""
    activation = "gelu" if encoder_of(teacher).options(teacher)["hidden_act"] == "gelu" else "relu"
    student = quantize(teacher, **settings.untrained.options, activation=activation, levels_per="neuron")
    calibrate(student, batches, teacher=teacher)
    return student


def begin(
    teacher: PreTrainedModel, phase: Distilling, learn: Tokens, settings: Settings, general: GeneralEncoder | None
) -> QuantizedForSequenceClassification:
    """The student at the start of its first phase."""
    options = settings.options if general is None else {**general.options, "blocks": settings.blocks}
    return start_student(phase, general, learn, teacher, options, settings.seed)[0]


def latest(measure: Measure) -> Measure:
    """A measure by which the latest network is kept: its rate has gone to nought and its weights are averaged, while a
    student that has learned little yet, and is sure of nothing, may diverge less on a few rows held out."""

    def judge(model: PreTrainedModel, rows: Tokens, accelerator: Accelerator) -> Measured:
        return measure(model, rows, accelerator)._replace(score=time.time())

    return judge


def train(
    teacher: PreTrainedModel,
    learn: Tokens,
    select: Tokens,
    task: Task,
    settings: Settings,
    folder: Path,
    general: GeneralEncoder | None,
    given: int,
) -> QuantizedForSequenceClassification:
    """Run all phases in a folder, going on where an earlier run was killed, and give the last network.

    ``given``: how many of the rows to ``learn`` are the user's own.
    """
    source: Path | None = None
    phases = phases_of(settings, general, given, logit_weight(teacher, learn, task))
    measure = latest(by_divergence(task, teacher))
    place = folder
    for number, phase in enumerate(phases):
        place = folder / f"phase-{number}-k{phase.dead_zone}"
        if not is_done(place / "last"):
            set_seed(settings.seed)
            if source is None:
                student = begin(teacher, phase, learn, settings, general)
            else:
                student, _ = start_student(phase, source, learn, teacher, settings.options, settings.seed)
            loss = loss_of(phase, student, partial(ask, teacher), learn, settings.seed)
            run_phase(student, loss, measure, learn, select, phase, place, settings.seed, beside=Kept(None, loss.parts))
        source = place / "best"
    return read_network(place / "best")
