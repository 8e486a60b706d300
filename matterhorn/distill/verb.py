"""``matterhorn.distill``: train a quantized network to follow its teacher and to keep a share of silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np
import torch
from accelerate import Accelerator
from transformers import PreTrainedModel

from ..errors import InputError
from ..models import QuantizedForSequenceClassification
from ..models.watching import Batch, check_inputs, evaluating
from ..program.text import batches_of
from ..reading import validated
from ..tasks.tokens import Tokens
from .batches import steps_of, token_batches
from .loop import bar, begin, descend, show
from .measure import ask
from .recipe import Distilling
from .run import loss_of
from .student import give_dead_zone

DENSITIES = {
    "input": 0.10,
    "queries": 0.10,
    "probabilities": 0.08,
    "context": 0.20,
    "hidden": 0.25,
    "intermediate": 0.03,
}
"""Relative densities of events in the populations, used when the dead zone is new (docs/method.md)."""


def distill(
    student: QuantizedForSequenceClassification,
    teacher: PreTrainedModel,
    rows: Tokens | Iterable[Batch] | Batch,
    *,
    dead_zone: int,
    silent_share: float | None = None,
    quiet_share: float | None = None,
    price: str | None = None,
    joules: float | None = None,
    densities: Mapping[str, float] | None = None,
    epochs: float = 1.0,
    steps: int | None = None,
    learning_rate: float = 4e-4,
    batch_size: int = 32,
    average: float = 0.0,
    logit_weight: float = 1.0,
    hidden_weight: float = 1.0,
    seed: int = 1,
) -> QuantizedForSequenceClassification:
    """Train a quantized network to answer as its teacher does, with a dead zone in place.

    No rows are held out and no files are written. ``matterhorn train`` does both, and resumes interrupted runs.

    Args:
        student: a calibrated network (:func:`matterhorn.quantize`, :func:`matterhorn.calibrate`). It is trained in
            place.
        teacher: a classifier that returns hidden states of the student's width after every block.
        rows: training rows as tokens, as padded batches, or as one batch (see :func:`matterhorn.calibrate`). Labels are
            not used.
        dead_zone: number k of levels on either side of the silent level that send nothing. If it differs from the
            student's, new silent levels are chosen for it.
        silent_share, quiet_share: shares to reach and to hold, between 0 and 1. If both are given, the one that leaves
            fewer events is decisive. None: they result from the dead zone.
        price: name or file of a chip. Densities of events then follow from their energy on this chip and from their
            value to the network. Progress shows joules per sentence. Needs a dead zone and a target.
        joules: target energy per sentence on that chip, in J, instead of shares.
        densities: relative densities of events in the populations. They are used only if the dead zone is new, a share
            is given and ``price`` is not. None: those in :data:`DENSITIES`.
        epochs: number of passes over the rows.
        steps: number of steps. If given, it replaces ``epochs``.
        learning_rate: peak learning rate.
        batch_size: rows per step.
        average: decay, from 0 to below 1, of a moving average of the weights. The student ends with this average. 0: it
            ends with the last weights.
        logit_weight, hidden_weight: weights of the two parts of the loss, which compare logits and hidden states.
        seed: seed of the order of rows.

    Returns:
        The student, ready to convert.

    Raises:
        InputError: the student is not calibrated, or its weights are fixed; there are no rows, or they are not batches;
            the teacher has other sizes; a token or a position has no embedding; or a setting is not possible.

    >>> from transformers import BertConfig, BertForSequenceClassification
    >>> from matterhorn.models import quantize
    >>> sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    >>> teacher = BertForSequenceClassification(BertConfig(vocab_size=50, **sizes))
    >>> batch = {"input_ids": np.array([[2, 7, 3], [2, 9, 3]])}
    >>> student = quantize(teacher, batches=[batch])
    >>> distill(student, teacher, [batch], dead_zone=2, silent_share=0.9, steps=3).config.dead_zone
    2
    """
    student.check_calibrated()
    if not any(value.requires_grad for value in student.parameters()):
        cure = "give one that quantize made, or restore_trainable"
        raise InputError("a network whose weights are fixed", field="student", cure=cure)
    is_new = dead_zone != student.config.dead_zone and (silent_share or quiet_share) and not price
    settings = {
        "epochs": epochs,
        "steps": steps,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "average": average,
        "dead_zone": dead_zone,
        "silent_share": silent_share,
        "quiet_share": quiet_share,
        "price": price,
        "joules": joules,
        "densities": dict(densities or DENSITIES) if is_new else {},
        "logit_weight": logit_weight,
        "hidden_weight": hidden_weight,
    }
    phase = validated(Distilling, settings, None)
    learn = rows if isinstance(rows, Tokens) else as_tokens(rows)
    if not len(learn):
        raise InputError("no rows", field="rows", cure="give at least one")
    check_inputs(student, teacher, learn.ids, "student")
    _train(student, teacher, learn, phase, seed)
    return student


def _train(
    student: QuantizedForSequenceClassification, teacher: PreTrainedModel, learn: Tokens, phase: Distilling, seed: int
) -> None:
    """Train for one phase, without held-out rows."""
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    phase = give_dead_zone(student, phase, learn, seed, trained=student.config.formats)
    loss = loss_of(phase, student, partial(ask, teacher), learn, seed)
    total = steps_of(learn, phase, seed)
    descent = begin(student, phase, total, accelerator)
    batches = token_batches(learn, phase, seed, 0, total, accelerator)
    try:
        with evaluating(teacher), bar(descent, "distill") as shown:
            for training in descend(descent, loss, batches, phase):
                if shown.update() or descent.step == total:
                    show(shown, training)
    finally:
        if loss.silence is not None:
            loss.silence.release()
    if descent.average:
        student.load_state_dict(descent.kept.state_dict())
    student.train(False)


def as_tokens(batches: Iterable[Batch] | Batch) -> Tokens:
    """Return the rows of padded batches as tokens."""
    ids, types = [], []
    for batch in batches_of(batches):
        numbers = np.asarray(batch["input_ids"])
        present = np.asarray(batch["attention_mask"]).astype(bool) if "attention_mask" in batch else numbers >= 0
        kinds = np.asarray(batch["token_type_ids"]) if "token_type_ids" in batch else np.zeros_like(numbers)
        ids += [row[own].tolist() for row, own in zip(numbers, present, strict=True)]
        types += [row[own].tolist() for row, own in zip(kinds, present, strict=True)]
    return Tokens(ids, types, [])
