"""Running a plan: every value of every property on several chips, and what device one needs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

from ..msu import ArrayBank, Correction, WireCache
from ..msu.circuit import DRAWN, active
from .chips import Progress, Run, spread
from .journal import Journal
from .points import Plan, Property, Study, set_to

FORMAT = 2
"""Of the answer; 2: chips drawn by NumPy."""

POINT = 0.01
"""One point of a metric: what a device may cost."""


def run_plan(
    run: Run,
    plan: Plan,
    chips: int,
    *,
    seed: int = 0,
    cache: WireCache | None = None,
    correction: Correction | None = None,
    journal: Journal | None = None,
    progress: Progress = iter,
) -> dict[str, Any]:
    """The answer of ``matterhorn msu study``: scores, yield and what is needed, by property.

    Chips without any part that does something score what the program does without a chip; where no part is drawn, one
    chip stands for all.

    Args:
        chips: how many, with the seeds ``seed``, ``seed + 1`` …, the same for every value.
        journal: chips that it knows are not scored again, new ones are noted.
        progress: follows single chips.
    """
    clean = run.score()
    scores: dict[tuple[str, float], list[float]] = {}
    for name, study, value, one in progress(list(_jobs(plan, chips))):
        chip = f"{name} {value:g} {seed + one}"
        score = journal.scores.get(chip) if journal else None
        known = scores.setdefault((name, value), [])
        if score is None:
            device, circuit, seconds = set_to(name, value, study, plan)
            parts = active(device, circuit)
            if not parts:
                score = clean
            elif known and not any(part in DRAWN for part in parts):
                score = known[0]
            else:
                bank = ArrayBank(device, circuit, seed + one, cache, correction or Correction())
                score = run.score(run.on_chip(bank, seconds))
            if journal:
                journal.note(chip, score)
        known.append(score)
    return {
        "format": FORMAT,
        "clean": clean,
        "chips": chips,
        "seed": seed,
        "allowed_loss": POINT,
        "device": plan.device,
        "circuit": plan.circuit,
        "studies": {
            name: _summary(study, [scores[name, value] for value in study.values], clean)
            for name, study in plan.studies.items()
        },
    }


def needed(
    values: list[float], losses: list[float], allowed: float, scale: Literal["linear", "log"] = "linear"
) -> dict[str, Any]:
    """How far a property may go: where the loss first passes ``allowed``, on a straight line between tried values.

    Args:
        values: tried ones, from the least harmful on. losses: of each, in the unit of ``allowed``.
        scale: whether the line is straight in the value or in its logarithm.

    Returns:
        ``value`` (None where even the first one costs too much) and ``how``: ``interpolated``, ``beyond`` (even the
        last value costs less: the limit lies further) or ``none``.
    """
    if losses[0] >= allowed:
        return {"value": None, "how": "none"}
    for (value, loss), (further, worse) in pairwise(zip(values, losses, strict=True)):
        if worse >= allowed:
            share = (allowed - loss) / (worse - loss)
            if scale == "linear":
                return {"value": value + share * (further - value), "how": "interpolated"}
            return {"value": math.exp(math.log(value) + share * math.log(further / value)), "how": "interpolated"}
    return {"value": values[-1], "how": "beyond"}


def _jobs(plan: Plan, chips: int) -> Iterator[tuple[Property, Study, float, int]]:
    for name, study in plan.studies.items():
        for value in study.values:
            for one in range(min(chips, study.chips or chips)):
                yield name, study, value, one


def _summary(study: Study, scores: list[list[float]], clean: float) -> dict[str, Any]:
    means = [statistics.mean(own) for own in scores]
    return {
        "title": study.title,
        "unit": study.unit,
        "scale": study.scale,
        "device": study.device,
        "points": [
            {
                "value": value,
                "mean": mean,
                "spread": spread(own),
                "worst": min(own),
                "yield": sum(clean - one <= POINT + 1e-12 for one in own) / len(own),
                "scores": own,
            }
            for value, mean, own in zip(study.values, means, scores, strict=True)
        ],
        "needed": needed(study.values, [clean - mean for mean in means], POINT, study.scale),
    }
