"""The student at the start of a phase: the blocks that it takes over, its dead zone, its silent levels."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..models import QuantizedForSequenceClassification, equalize, quantize, restore_trainable
from ..models.calibrate import set_scales, settle_silence
from ..models.general import GeneralEncoder, take_general
from ..models.latent import load_latents
from ..models.matching import match
from ..models.placement import place_densities
from ..models.quantized import read_network
from ..models.restore import lift, spread
from ..models.rounding import Moments, least_squares
from ..models.watching import watching
from ..program import Config, Program
from ..tasks.tokens import Tokens, shuffled_batches, sorted_batches
from ..topology import POPULATION, Site
from .fits import check_sizes, places_of
from .measure import MEASURED_ROWS, on_device, predict
from .price import priced
from .recipe import Distilling
from .start import Source

CALIBRATION_BATCHES = 32
"""Maximum number of batches on which silent levels are chosen."""

MIXTURE_ROWS, MIXTURE_LENGTH = 192, 256
"""Maximum number of rows on which events are counted, and the length up to which there are as many."""

FITTED_ROWS, STIFFNESS = 768, 1.0
"""Maximum number of rows on which a classifier is fitted, and how strongly its weights are regularized toward 0
(:func:`~matterhorn.models.rounding.least_squares`).
"""


def start_student(
    phase: Distilling,
    source: Source | None,
    learn: Tokens,
    teacher: PreTrainedModel,
    options: Mapping[str, Any],
    seed: int,
    *,
    head: bool = True,
    latents: Path | None = None,
) -> tuple[QuantizedForSequenceClassification, Distilling]:
    """Make the network that a phase starts from, with the phase's dead zone and silent levels chosen on training rows.

    Args:
        phase: the phase.
        source: network whose blocks are taken over. None: the teacher. If it is an encoder that compares, the
            classifier is fitted to the teacher's answers.
        learn: training rows.
        teacher: the teacher of the phase.
        options: options of :func:`matterhorn.quantize`.
        seed: seed of the rows that are drawn.
        head: whether to take over pooler and classifier too, which only makes sense for the same task.
        latents: file of latent weights of a program. None: they are drawn at random.

    Returns:
        The network, and the phase with densities if these follow from a price.
    """
    student = quantize(teacher, **options)
    if source is None and phase.matched:
        return _matched(student, phase, learn, teacher, options, seed)
    if source is None:
        largest = _largest(_calibration_batches(learn, phase.batch_size, seed))
        equalize(student, teacher, largest)
        set_scales(student, largest)
        return student, give_dead_zone(student, phase, learn, seed, trained=None)
    before = lift(_restored(source, teacher, latents))
    take_over(student, before, head=head)
    planned = give_dead_zone(student, phase, learn, seed, trained=before.config.formats)
    if isinstance(source, GeneralEncoder) and source.compares:
        fit_classifier(student, teacher, learn, seed)
    return student, planned


def _matched(
    student: QuantizedForSequenceClassification,
    phase: Distilling,
    learn: Tokens,
    teacher: PreTrainedModel,
    options: Mapping[str, Any],
    seed: int,
) -> tuple[QuantizedForSequenceClassification, Distilling]:
    """Fit a fresh student to its teacher part by part. Returns the same as :func:`start_student`."""
    planned = phase
    if phase.price:  # prices are measured on a student that starts without the fit
        unmatched = phase.model_copy(update={"matched": False})
        _, planned = start_student(unmatched, None, learn, teacher, options, seed)
    student.set_dead_zone(phase.dead_zone)
    batches = _calibration_batches(learn, phase.batch_size, seed)
    match(student, teacher, batches, planned.silent_share or planned.quiet_share, planned.densities)
    return student, planned


def _restored(source: Source, teacher: PreTrainedModel, latents: Path | None) -> QuantizedForSequenceClassification:
    """Return a source as a trainable network. ``latents`` as in :func:`start_student`."""
    if isinstance(source, Program):
        restored = restore_trainable(source)
        return load_latents(restored, latents) if latents else spread(restored)
    if isinstance(source, GeneralEncoder):
        network = quantize(teacher, **source.options)
        take_general(network, source)
        return network
    return read_network(source)


def give_dead_zone(
    student: QuantizedForSequenceClassification,
    phase: Distilling,
    learn: Tokens,
    seed: int,
    *,
    trained: Config | None,
) -> Distilling:
    """Give a network the dead zone of a phase, with scales and silent levels chosen on training rows.

    Only populations whose own dead zone is new get new ones. Levels that were trained with their dead zone are kept,
    since choosing them again costs accuracy. If a network goes back from a dead zone to none, all scales are set again,
    because silence requires other scales.

    Args:
        trained: formats with which the network's present levels were trained. None: they were not trained.

    Returns:
        The phase, with densities if these follow from a price.
    """
    student.set_dead_zone(phase.dead_zone)
    batches = _calibration_batches(learn, phase.batch_size, seed)
    if trained is None:
        changed = {*POPULATION}
    elif trained.dead_zone and not phase.dead_zone:
        set_scales(student, _largest(batches))
        changed = {*POPULATION}
    else:
        formats = student.config.formats
        changed = {name for name in POPULATION if formats.zone(name) != trained.zone(name)}
    if changed and not phase.densities:
        settle_silence(student, batches, changed)
    planned = priced(phase, student, mixture(learn, seed))
    share = planned.silent_share or planned.quiet_share
    if changed and planned.densities and share is not None:
        place_densities(student, mixture(learn, seed), share, planned.densities, changed)
    return planned


def mixture(learn: Tokens, seed: int) -> dict[str, Tensor]:
    """Return training rows of all lengths in one batch.

    There are fewer if they are long, as the memory for attention grows with the square of their length.
    """
    rows = random.Random(seed).sample(range(len(learn)), min(MIXTURE_ROWS, len(learn)))
    room = MIXTURE_ROWS * MIXTURE_LENGTH**2 // max(len(learn.ids[row]) for row in rows) ** 2
    return on_device(learn.batch(rows[: max(1, room)]), "cpu")


def _calibration_batches(learn: Tokens, batch_size: int, seed: int) -> list[dict[str, Tensor]]:
    drawn = itertools.islice(shuffled_batches(learn, batch_size, seed), CALIBRATION_BATCHES)
    return [on_device(learn.batch(rows), "cpu") for rows in drawn]


def _largest(batches: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return max(batches, key=lambda batch: batch["input_ids"].numel())


def take_over(
    student: QuantizedForSequenceClassification, source: QuantizedForSequenceClassification, *, head: bool
) -> None:
    """Copy those blocks of another network that the student has, and the projection before them, if any.

    Latent weights of another width are quantized anew, relative to LSQ's initial scales as in the student.

    Args:
        head: whether to copy pooler, activation and classifier too.

    Raises:
        InputError: the network has other sizes or other blocks.
    """
    check_sizes(student.config.formats, source.config.formats)
    blocks, count = student.config.teacher_blocks, len(source.blocks)
    depth = len(student.blocks) if blocks is None else count  # check_fits has compared it with the teacher's
    places = places_of(blocks, depth, count, source.config.teacher_blocks)
    for own, place in zip(student.layers(), places, strict=True):
        ours, theirs = own.state_dict(), source.layers()[place].state_dict()
        if student.config.weights != source.config.weights:
            theirs = {name: ours[name] if name.endswith(".ratio") else theirs[name] for name in ours}
        own.load_state_dict(theirs)
    if student.projection is not None and source.projection is not None:
        student.projection.load_state_dict(source.projection.state_dict())
    if head:
        student.config.head_activation = source.config.head_activation
        student.pooler.load_state_dict(source.pooler.state_dict())
        student.classifier.load_state_dict(source.classifier.state_dict())


@torch.no_grad()
def fit_classifier(
    student: QuantizedForSequenceClassification, teacher: PreTrainedModel, learn: Tokens, seed: int
) -> None:
    """Fit a student's classifier to the teacher's answers on some rows, by least squares on the pooler's outputs."""
    rows = learn.subset(random.Random(seed).sample(range(len(learn)), min(FITTED_ROWS, len(learn))))
    order = [row for batch in sorted_batches(rows, MEASURED_ROWS) for row in batch]
    seen: list[Tensor] = []
    with watching({Site(0, "classifier"): student.classifier}, lambda _, __, x: seen.append(x)):
        predict(student, rows)
    moments = Moments.of(torch.cat(seen), predict(teacher, rows)[order], torch.ones(len(rows)))
    weight = least_squares(moments, torch.zeros_like(student.classifier.weight), STIFFNESS)
    student.classifier.weight.copy_(weight)
    student.classifier.bias.copy_(moments.y - weight @ moments.x)
