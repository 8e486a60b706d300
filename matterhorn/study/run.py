"""Running a plan: every value of every property on several chips."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from ..engines import ExactEngine
from ..msu import ArrayBank, Correction, WireCache
from ..msu.circuit import DRAWN, active
from .chips import Progress, Run, spread
from .journal import Journal
from .needed import needed
from .points import Plan, Property, Study, set_to

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

    Chips without any part that does something score what the network does without a chip; where no part is drawn, one
    chip stands for all.

    Args:
        chips: how many, with the seeds ``seed``, ``seed + 1`` …, the same for every value.
        journal: chips that it knows are not scored again, new ones are noted.
        progress: follows single chips.
    """
    clean = run.score(ExactEngine())
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
