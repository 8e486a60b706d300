"""What a run of ``spike`` will take on this machine, from a measured step, and what it may lose, from earlier runs."""

from __future__ import annotations

import resource
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from ..distill.loop import begin as begin_descent
from ..distill.loop import descend, token_batches
from ..distill.measure import ask
from ..distill.recipe import Distilling
from ..distill.run import loss_of
from ..distill.teacher import freeze
from ..models.general import GeneralEncoder
from ..reading import read_yaml
from .course import begin, comparing, distillation_rows, find_general, phases_of
from .plan import Plan

STEPS = 4
"""Steps that are taken; the first ones warm up and are not counted."""

FORMAT = 1
"""Of the document that ``matterhorn spike --dry-run --json`` prints."""


def forecast(plan: Plan) -> dict[str, Any]:
    """Time, memory and expected loss of a plan.

    Returns:
        ``seconds_per_step``, ``steps`` and ``tokens`` that the minutes suffice for, ``gigabytes`` (resident, at most,
        of this process so far), ``start``; ``advice``: options with which it would start from an encoder that has
        learned to compare, where a task has two sentences (None: it does, or there is none); and ``kept_low``,
        ``kept_high``: the range of what measured runs from such a start (``measured.yaml``: few yet) kept of their
        teachers' metric; None where none was measured.
    """
    settings = plan.settings
    if plan.train is None:
        return {"format": FORMAT, "start": "calibration", **expected("calibration")}
    teacher = freeze(plan.teacher.model)
    general = find_general(teacher, settings)
    learn = distillation_rows(plan.tokens(plan.train), teacher, plan.teacher.tokenizer, settings.seed)
    phase = phases_of(settings, general)[-1]
    seconds = seconds_per_step(plan, phase)
    steps = int(60 * settings.minutes / seconds)
    tokens = int(steps * settings.batch_size * np.mean([len(row) for row in learn.ids]))
    start = general.name if general else "teacher"
    return {
        "format": FORMAT,
        "start": start,
        "rows": len(learn),
        "minutes": settings.minutes,
        "seconds_per_step": seconds,
        "steps": steps,
        "tokens": tokens,
        "gigabytes": peak_gigabytes(),
        "advice": advice(comparing(teacher, plan.task, general)),
        **expected(start),
    }


def advice(encoder: GeneralEncoder | None) -> str | None:
    """The options that lead to an encoder."""
    if encoder is None:
        return None
    own = {name: encoder.options[name] for name in ("weights", "kv_bits")}
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in own.items())


def seconds_per_step(plan: Plan, phase: Distilling) -> float:
    """Median time of a training step of a plan's last phase, in seconds."""
    settings, teacher = plan.settings, freeze(plan.teacher.model)
    learn = plan.tokens(plan.train) if plan.train else plan.tokens(plan.eval)
    student = begin(teacher, phase, learn, settings, find_general(teacher, settings))
    loss = loss_of(phase, student, partial(ask, teacher), learn, settings.seed)
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    descent = begin_descent(student, phase, STEPS, accelerator)
    batches = token_batches(learn, phase, settings.seed, 0, STEPS, accelerator)
    times, began = [], time.monotonic()
    for _ in descend(descent, loss, batches, phase):
        times.append(time.monotonic() - began)
        began = time.monotonic()
    return float(np.median(times[STEPS // 2 :]))


def peak_gigabytes() -> float:
    """Largest resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def expected(start: str) -> dict[str, float | None]:
    """Least and largest share of the teacher's metric that measured runs from such a start kept."""
    runs = read_yaml(Path(__file__).with_name("measured.yaml"))["runs"]
    kept = [run["kept"] for run in runs if run["start"] == start]
    return {"kept_low": min(kept, default=None), "kept_high": max(kept, default=None)}
