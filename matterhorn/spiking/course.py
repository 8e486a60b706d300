"""From a user's teacher to a trained student: what it starts from, its training rows and its phases."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence, Set
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from tokenizers import Tokenizer
from transformers import PreTrainedModel, set_seed

from ..distill.augment import rematch, reword
from ..distill.loop import Extras, run_phase
from ..distill.measure import Measure, Measured, ask, by_divergence, predict
from ..distill.recipe import Distilling
from ..distill.run import loss_of
from ..distill.state import is_done
from ..distill.student import start_student
from ..distill.texts import join, vocabulary, without_rows
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
"""Rows for distillation: number of rows made from the given ones by replacing words, maximum number made by crossing
pairs, and the share of given rows among all, up to which these are repeated. The teacher labels all rows.
"""

MARGIN = 0.08
"""Share of the permitted events by which training undercuts the target, because new rows are slightly less silent."""

FIRST_SHARE = 0.3
"""Share of the time in which few-bit weights are learned without a dead zone, unless a task-free encoder has them."""

RATE, GENERAL_RATE = 4e-4, 3e-4
"""Learning rates from a teacher, and from a task-free encoder."""

AVERAGE = 0.98
"""Decay of the exponential average of the weights."""

READINGS = 6
"""Maximum number of epochs over the given rows, if the start is an encoder that has learned to compare.

On new rows, the encoder's knowledge about pairs is worth more than what a classifier has memorized of a few rows. After
575 instead of 300 steps on 500 rows, it agreed with the classifier on 0.94 instead of 0.96 of the labels of 1,498 other
rows (docs/trials.md).
"""

LOGIT_WEIGHT = 4.0
"""Weight of the divergence of the answers, relative to the error of the hidden states.

On a pair task with 500 rows, 200 steps left 10 % less divergence on 1,500 other rows than with weight 1
(docs/trials.md).
"""

SCORE_WEIGHT = 7.0
"""The same for scores, whose squared errors are divided by the variance of the teacher's scores.

On scores of pairs, this kept more of the teacher's metric than a weight of 4 (docs/trials.md).
"""

CHOSEN_FORMATS = ("weights", "kv_bits")
"""Number formats that are chosen if neither is given."""

SELECTION_ROWS = 100
"""Maximum number of rows that are held out to show progress."""

SPREAD_ROWS, TINY = 64, 1e-6
"""Rows on which the variance of a teacher's scores is measured, and a lower bound for this variance."""


def find_general(teacher: PreTrainedModel, settings: Settings) -> GeneralEncoder | None:
    """Find the task-free encoder of a teacher's backbone that has the requested formats. None: there is none."""
    asked = {name: getattr(settings, name) for name in ("weights", "activation_bits", "kv_bits", "dead_zone")}
    for encoder in general_encoders():
        if all(encoder.options.get(name) == value for name, value in asked.items()) and encoder.is_of(teacher):
            return encoder
    return None


def comparing(teacher: PreTrainedModel, task: Task, settings: Settings) -> GeneralEncoder | None:
    """Find an encoder that compares, and from which a run would start if it had that encoder's :data:`CHOSEN_FORMATS`.

    None: the task has only one text, the run starts from such an encoder anyway, or there is none.
    """
    general = find_general(teacher, settings)
    if len(task.text) < 2 or (general and general.compares):
        return None
    own = ({name: one.options[name] for name in CHOSEN_FORMATS} for one in general_encoders() if one.compares)
    found = (find_general(teacher, settings.model_copy(update=formats)) for formats in own)
    return next((encoder for encoder in found if encoder and encoder.compares), None)


def held_out(given: int) -> int:
    """Number of training rows to hold out: a tenth of them, and at most :data:`SELECTION_ROWS`."""
    return min(SELECTION_ROWS, given // 10)


def logit_weight(teacher: PreTrainedModel, rows: Tokens, task: Task) -> float:
    """Return :data:`LOGIT_WEIGHT`, or for scores :data:`SCORE_WEIGHT` over the variance of the teacher's scores."""
    if task.kind != "regression":
        return LOGIT_WEIGHT
    answers = predict(teacher, rows.subset(list(range(min(SPREAD_ROWS, len(rows))))))
    return SCORE_WEIGHT / max(float(answers.var(unbiased=False)), TINY)


def phases_of(
    settings: Settings, general: GeneralEncoder | None, given: int, weight: float = LOGIT_WEIGHT
) -> list[Distilling]:
    """Make the phases: one without a dead zone and then one with it, or only the second if an encoder already has
    both.

    Args:
        given: number of the user's own rows to learn.
        weight: weight of the answers relative to the hidden states.
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


def distillation_rows(
    rows: Tokens,
    teacher: PreTrainedModel,
    tokenizer: Tokenizer,
    seed: int,
    *,
    excluded_rows: Set[tuple[int, ...]] = frozenset(),
) -> Tokens:
    """Return the training rows and rows made from them, without labels: crossed pairs, and all with words replaced.

    ``excluded_rows``: token numbers of rows that are used in evaluations. No row that is made may be equal to one.
    """
    table = word_embeddings(teacher)
    parts = [rows]
    if any(map(any, rows.types)):
        parts.append(without_rows(rematch(rows, table, REMATCHED, seed), excluded_rows))
    given = join(parts)
    made = [*parts[1:], without_rows(reword(given, table, vocabulary(tokenizer), REWORDED, seed), excluded_rows)]
    times = math.ceil(GIVEN_SHARE / (1 - GIVEN_SHARE) * sum(map(len, made)) / len(rows))
    return join([*(max(1, times) * [rows]), *made])


def calibrated(
    teacher: PreTrainedModel, batches: Sequence[Batch], settings: Settings
) -> QuantizedForSequenceClassification:
    """Make a student that is calibrated with the help of its teacher, without training."""
    activation = "gelu" if encoder_of(teacher).options(teacher)["hidden_act"] == "gelu" else "relu"
    student = quantize(teacher, **settings.untrained.options, activation=activation, levels_per="neuron")
    calibrate(student, batches, teacher=teacher)
    return student


def begin(
    teacher: PreTrainedModel, phase: Distilling, learn: Tokens, settings: Settings, general: GeneralEncoder | None
) -> QuantizedForSequenceClassification:
    """Make the student at the start of its first phase."""
    options = settings.options if general is None else {**general.options, "blocks": settings.blocks}
    return start_student(phase, general, learn, teacher, options, settings.seed)[0]


def latest(measure: Measure) -> Measure:
    """Make a measure that always selects the latest network.

    At the end of a phase, the learning rate has decayed to zero and weights are averaged, so the latest network is the
    best. The divergence on a few held-out rows would be misleading: it may be lower for a student that has learned
    little and is uncertain. If there are no rows, nothing is measured.
    """

    def judge(model: PreTrainedModel, rows: Tokens, accelerator: Accelerator) -> Measured:
        if not len(rows):
            return Measured(time.time(), {})
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
    """Run all phases in a folder and return the last network. Interrupted phases are resumed.

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
            run_phase(
                student, loss, measure, learn, select, phase, place, settings.seed, extras=Extras(None, loss.parts)
            )
        source = place / "best"
    return read_network(place / "best")
