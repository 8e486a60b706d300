"""Accuracy against silence: one trained network under other dead zones and silent levels, without training again."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator

from ..engines import get_engine
from ..models.convert import convert
from ..models.from_bert import settle_silence
from ..models.quantised import MatterhornForSequenceClassification
from .data import Tokens, shuffled_batches
from .evaluate import Progress, evaluate_spiking
from .tasks import Task


def sweep_silence(
    model: MatterhornForSequenceClassification,
    task: Task,
    learn: Tokens,
    rows: Tokens,
    *,
    dead_zones: list[int],
    seed: int = 1,
    progress: Progress = iter,
) -> Iterator[dict[str, object]]:
    """Silent levels are chosen on training rows, then the converted network runs over ``rows`` with each setting.

    Levels are counted with the setting's dead zone around the silent levels that the network was trained with; the
    setting it was trained with keeps its own, which are part of what was learned.
    """
    batches = [learn.batch(part) for part in itertools.islice(shuffled_batches(learn, 64, seed), 32)]
    trained_at, trained = model.config.dead_zone, copy.deepcopy(model.state_dict())
    for k, per in itertools.product(dead_zones, ("tensor", "neuron")):
        model.load_state_dict(trained)
        model.set_dead_zone(k)
        if (k, per) != (trained_at, model.config.silence_per):
            settle_silence(model, batches, per=per)
        answer = evaluate_spiking(convert(model), rows, task, get_engine("exact"), progress=progress)
        yield {
            "dead_zone": k,
            "silence_per": per,
            "trained_at": trained_at,
            **answer.metrics,
            "silent_share": answer.trace.silent_share,
        }
