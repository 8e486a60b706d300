"""Predict how long a run of ``spike`` takes on this machine, and what accuracy it may lose.

Times follow from a measured step, losses from earlier runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator

from ..distill.batches import ENDLESS, token_batches
from ..distill.loop import begin as begin_descent
from ..distill.loop import descend
from ..distill.measure import ask, predict
from ..distill.recipe import Distilling
from ..distill.run import loss_of
from ..distill.teacher import freeze
from ..models import QuantizedForSequenceClassification, convert
from ..models.general import GeneralEncoder
from ..reading import read_yaml
from ..runtime import verify
from ..tasks.evaluate import predict as run_program
from ..tasks.tokens import Tokens
from .course import (
    CHOSEN_FORMATS,
    READINGS,
    begin,
    calibrated,
    comparing,
    distillation_rows,
    find_general,
    held_out,
    phases_of,
)
from .diagnosis import ASKED_ROWS, questions
from .plan import Plan

T = TypeVar("T")

TRIED_STEPS, TRIED_ROWS = 4, 4
"""Number of training steps to time, the first half of which are a warm-up and do not count; and of rows to run."""

FORMAT = 2
"""Version of the document that ``matterhorn spike --dry-run --json`` prints. Version 2 added ``total_minutes``,
``made_rows`` and ``notes``.
"""

MADE = "made_rows: {made_rows} rows to distill on, made from the {given} given by replacing words and crossing pairs."
ENOUGH = "minutes: {minutes:.1f} suffice for {readings} epochs over the given rows; more would memorize them."
UNMEASURED = "kept: not measured for this start ({start}){fewer}."
ADVICE = "Two sentences: with {advice} it would start from an encoder that has learned to compare."


def forecast(plan: Plan, verify_rows: int = 64) -> dict[str, Any]:
    """Estimate time, memory and loss of accuracy of a plan.

    Returns:
        ``start``; ``total_minutes`` for everything; ``gigabytes``, the peak resident memory of this process so far.

        If it is trained: ``made_rows`` to distill on; ``minutes`` of training at most; ``seconds_per_step``; ``steps``
        and ``tokens`` that this time suffices for; ``advice``, options for a pair task with which it would start from
        an encoder that has learned to compare (None: it does already, or there is none).

        ``kept_low``, ``kept_high``: least and largest share of the teacher's metric that earlier runs from such a start
        have kept (``measured.yaml``, few so far); None if there was none. ``notes``: remarks on the estimate.
    """
    student, found = _of_training(plan) if plan.is_trained else _of_calibration(plan)
    minutes = found["minutes"] + seconds_after_training(plan, student, verify_rows) / 60
    answer = {
        "format": FORMAT,
        **found,
        "total_minutes": minutes,
        "gigabytes": peak_gigabytes(),
        **expected(None if plan.settings.blocks else found["start"]),
    }
    notes = {
        MADE: plan.is_trained,
        ENOUGH: plan.is_trained and found["minutes"] < plan.settings.minutes,
        UNMEASURED: answer["kept_low"] is None,
        ADVICE: answer.get("advice"),
    }
    fewer = " with fewer blocks" if plan.settings.blocks else ""
    more = {"given": 0 if plan.train is None else len(plan.train), "readings": READINGS, "fewer": fewer}
    return answer | {"notes": [note.format(**answer, **more) for note, holds in notes.items() if holds]}


def _of_calibration(plan: Plan) -> tuple[QuantizedForSequenceClassification, dict[str, Any]]:
    """Return a student that is calibrated on one batch, and the time that all batches will take."""
    teacher, batches = freeze(plan.teacher.model), plan.batches()
    sizes = [int(np.prod(batch["input_ids"].shape)) for batch in batches]
    largest = int(np.argmax(sizes))
    student, seconds = timed(lambda: calibrated(teacher, [batches[largest]], plan.settings))
    return student, {"start": "calibration", "minutes": seconds * sum(sizes) / sizes[largest] / 60}


def _of_training(plan: Plan) -> tuple[QuantizedForSequenceClassification, dict[str, Any]]:
    """Return a student after a few steps, and the number of steps that the minutes suffice for."""
    assert plan.train is not None
    settings, teacher = plan.settings, freeze(plan.teacher.model)
    general = find_general(teacher, settings)
    learn = distillation_rows(plan.tokens(plan.train), teacher, plan.teacher.tokenizer, settings.seed)
    given = len(plan.train) - held_out(len(plan.train))
    phase = phases_of(settings, general, given)[-1]
    student, seconds = try_steps(plan, plan.tokens(plan.train), phase, general)
    affordable = int(60 * settings.minutes / seconds)
    steps = min(affordable, phase.steps or ENDLESS)
    return student, {
        "start": general.name if general else "teacher",
        "made_rows": len(learn),
        "minutes": settings.minutes if steps == affordable else steps * seconds / 60,
        "seconds_per_step": seconds,
        "steps": steps,
        "tokens": int(steps * settings.batch_size * np.mean([len(row) for row in learn.ids])),
        "advice": advice(comparing(teacher, plan.task, settings)),
    }


def advice(encoder: GeneralEncoder | None) -> str | None:
    """Return the options with which a run would start from an encoder."""
    if encoder is None:
        return None
    own = {name: encoder.options[name] for name in CHOSEN_FORMATS}
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in own.items())


def try_steps(
    plan: Plan, learn: Tokens, phase: Distilling, general: GeneralEncoder | None
) -> tuple[QuantizedForSequenceClassification, float]:
    """Return a student after :data:`TRIED_STEPS` training steps, and their median time in seconds."""
    settings, teacher = plan.settings, freeze(plan.teacher.model)
    student = begin(teacher, phase, learn, settings, general)
    loss = loss_of(phase, student, partial(ask, teacher), learn, settings.seed)
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    descent = begin_descent(student, phase, TRIED_STEPS, accelerator)
    batches = token_batches(learn, phase, settings.seed, 0, TRIED_STEPS, accelerator)
    times, began = [], time.monotonic()
    for _ in descend(descent, loss, batches, phase):
        times.append(time.monotonic() - began)
        began = time.monotonic()
    return student, float(np.median(times[TRIED_STEPS // 2 :]))


def seconds_after_training(plan: Plan, student: QuantizedForSequenceClassification, verify_rows: int) -> float:
    """Estimate the seconds for conversion, verification, evaluation and diagnosis from a few rows."""
    program, converting = timed(lambda: convert(student, labels=plan.task.labels))
    rows = plan.tokens(plan.eval)
    some = rows.subset(np.linspace(0, len(rows) - 1, min(TRIED_ROWS, len(rows))).astype(int).tolist())
    batch = some.encoded(list(range(len(some))))
    run_program(program, some)  # warms up
    running, proving, asking = (
        timed(work)[1] / len(some)
        for work in (
            lambda: run_program(program, some),
            lambda: verify(program, [batch], against=student),
            lambda: predict(student, some),
        )
    )
    zones, asked = int(student.config.dead_zone), min(ASKED_ROWS, len(rows))
    diagnosing = asked * (questions(student) * asking + zones * running) + zones * converting
    return converting + len(rows) * (running + asking) + min(verify_rows, len(rows)) * proving + diagnosing


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Call a function; return its result and the seconds that it took."""
    began = time.monotonic()
    return work(), time.monotonic() - began


def peak_gigabytes() -> float:
    """Peak resident memory of this process so far."""
    if sys.platform == "win32":
        import psutil  # comes with accelerate

        return psutil.Process().memory_info().peak_wset / 1e9
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def expected(start: str | None) -> dict[str, float | None]:
    """Return the least and largest share of the teacher's metric that measured runs from such a start kept, or None
    for both.
    """
    runs = read_yaml(Path(__file__).with_name("measured.yaml"))["runs"]
    kept = [run["kept"] for run in runs if run["start"] == start]
    return {"kept_low": min(kept, default=None), "kept_high": max(kept, default=None)}
