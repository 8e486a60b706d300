"""Where a run and its phases start: from a teacher, another run, a program, or a task-free encoder."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..errors import InputError
from ..models import QuantizedForSequenceClassification, equalize, quantize, restore_trainable
from ..models.calibrate import set_scales, settle_silence
from ..models.config import MatterhornConfig
from ..models.encoders import encoder_of
from ..models.general import ARRAYS_FILE, GeneralEncoder, locate_general, read_general, take_general
from ..models.latent import LATENTS_FILE, load_latents
from ..models.matching import match
from ..models.placement import place_densities
from ..models.quantized import read_network
from ..models.restore import spread
from ..models.rounding import Moments, least_squares
from ..models.watching import watching
from ..program import Config, Program, find, load
from ..reading import whole
from ..storage import sha256
from ..tasks.tokens import Tokens, shuffled_batches, sorted_batches
from ..topology import Site
from .fits import check_sizes, places_of
from .measure import MEASURED_ROWS, on_device, predict
from .options import formats_of
from .price import priced
from .recipe import Distilling, Frozen, read_recipe
from .state import is_done

CALIBRATION_BATCHES, MIXTURE_ROWS, MIXTURE_LENGTH = 32, 192, 256

FITTED, STIFFNESS = 768, 1.0
"""Rows on which a classifier is fitted after an encoder that compares, and how strongly its weights are drawn to 0."""

Source = Path | Program | GeneralEncoder
"""A network to start from: the folder of a quantized one, a program, or a task-free encoder."""

LEVEL_FORMATS = ("activation_bits", "kv_bits", "silence_per", "levels_per", "activation")
"""Formats that a student must share with a network whose scales and silent levels it takes over."""

RECIPE_FILE = "recipe.yaml"
"""Of a run's folder."""


@dataclass(frozen=True)
class Start:
    """What to start from: a network, the folder of its teacher (None: the backbone was its teacher), its task, and the
    latent weights of a program, if they are pinned.
    """

    network: Source
    teacher: Path | None
    task: str | None
    latents: Path | None = None


def find_start(run: Path, start: str | Frozen, dead_zone: int) -> Start:
    """Find the run of the recipe ``start`` in a folder next to ``run``, or the pinned program or encoder.

    Of a run, the last phase with the given dead zone is taken, else the last phase. Silence that was learned is thus
    kept, and a network that is to start without silence does not start from a silent one.

    Raises:
        InputError: there is no such run, its phases have not finished, or the file is not the pinned one.
    """
    if isinstance(start, Frozen):
        path = pinned_file(start)
        if path.name == ARRAYS_FILE:
            return Start(read_general(path.parent), None, None)
        program = load(path.parent)
        return Start(program, None, program.task, path if path.name == LATENTS_FILE else None)
    folder = run.parent / Path(start).name
    phases = finished_phases(folder)
    if not phases:
        cure = f"train {start} to its end first, with its output there"
        raise InputError("no finished run", file=folder, field="start", cure=cure)
    teacher = folder / "teacher" / "best"
    alike = [place for place in phases if place.name.endswith(f"-k{dead_zone}")]
    task = read_recipe(folder / RECIPE_FILE).task
    return Start((alike or phases)[-1] / "best", teacher if teacher.is_dir() else None, task)


def pinned_file(start: Frozen) -> Path:
    """Return the file that a recipe pins.

    Raises:
        InputError: it is missing, or has another hash.
    """
    place, _, name = start.file.rpartition("/")  # the place as text, which may be a model's name
    path = (locate_general(Path(place)) if name == ARRAYS_FILE else find(place)) / name
    if not path.is_file() or sha256(path) != start.sha256:
        cure = "give the file that the recipe was made for"
        raise InputError("not the file that was pinned", file=path, field="start", cure=cure)
    return path


def check_fits(start: Start | None, teacher: PreTrainedModel, options: Mapping[str, Any]) -> None:
    """Check that a teacher has the requested blocks, and that its student can take over those of the start.

    Args:
        options: options of the student (:func:`matterhorn.quantize`).

    Raises:
        InputError: the teacher has no such blocks; the network has other sizes or formats of levels; or an encoder is
            of another backbone.
    """
    blocks = options.get("blocks")
    if blocks is not None:
        encoder_of(teacher).chosen(teacher, blocks)
    if start is None:
        return
    if isinstance(start.network, GeneralEncoder):
        if not start.network.is_of(teacher):
            problem = f"{start.network.name} is not of the backbone"
            raise InputError(problem, field="start", cure="give an encoder that was distilled from it")
        return _check_levels(options, formats_of(start.network.options), start.network.name)
    if isinstance(start.network, Program):
        theirs, kept = start.network.config, None
    else:
        with whole(start.network):
            config = MatterhornConfig.from_pretrained(start.network)
        theirs, kept = config.formats, config.teacher_blocks
    ours = MatterhornConfig(**encoder_of(teacher).options(teacher)).formats
    check_sizes(ours, theirs)
    _check_levels(options, theirs, "the start")
    places_of(blocks, ours.num_hidden_layers, theirs.num_hidden_layers, kept)


def _check_levels(options: Mapping[str, Any], theirs: Config, name: str) -> None:
    """Check that a student has the same formats of levels as the network ``name`` whose scales it takes over."""
    ours = formats_of(options)
    for field in LEVEL_FORMATS:
        if (own := getattr(ours, field)) != (wanted := getattr(theirs, field)):
            cure = f"give {wanted}, or another start"
            raise InputError(f"{own}, where {name} has {wanted}", field=f"network.{field}", cure=cure)


def begun_phases(run: Path) -> list[Path]:
    """Return the folders of a run's phases that have a network, in order. The last one may be unfinished."""
    found = [path.parents[1] for path in run.glob("phase-[0-9]*-k[0-9]*/best/config.json")]
    return sorted(found, key=lambda path: int(path.name.split("-")[1]))


def finished_phases(run: Path) -> list[Path]:
    """Return the folders of the phases of a finished run, in order; an empty list for an unfinished run."""
    found, recipe = begun_phases(run), run / RECIPE_FILE
    ended = recipe.is_file() and len(found) == len(read_recipe(recipe).phases)
    return found if ended and all(is_done(place / "last") for place in found) else []


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
        source: network whose blocks are taken over. None: the teacher's. If it is an encoder that compares, the
            classifier is fitted to the teacher's answers.
        options: options of :func:`matterhorn.quantize`.
        head: whether to take over pooler and classifier too, which only makes sense for the same task.
        latents: file of latent weights of a program. None: they are drawn.

    Returns:
        The network, and the phase with densities if these follow from a price.
    """
    student = quantize(teacher, **options)
    if source is None and phase.matched:
        plain = phase.model_copy(update={"matched": False})
        planned = start_student(plain, None, learn, teacher, options, seed)[1] if phase.price else phase
        student.set_dead_zone(phase.dead_zone)
        batches = _calibration_batches(learn, phase.batch_size, seed)
        match(student, teacher, batches, planned.silent_share or planned.quiet_share, planned.densities)
        return student, planned
    if source is None:
        largest = _largest(_calibration_batches(learn, phase.batch_size, seed))
        equalize(student, teacher, largest)
        set_scales(student, largest)
        return student, give_dead_zone(student, phase, learn, seed, trained=False)
    if isinstance(source, Program):
        restored = restore_trainable(source)
        before = load_latents(restored, latents) if latents else spread(restored)
    elif isinstance(source, GeneralEncoder):
        before = quantize(teacher, **source.options)
        take_general(before, source)
    else:
        before = read_network(source)
    take_over(student, before, head=head)
    student.config.dead_zone = before.config.dead_zone
    planned = give_dead_zone(student, phase, learn, seed, trained=True)
    if isinstance(source, GeneralEncoder) and source.compares:
        fit_classifier(student, teacher, learn, seed)
    return student, planned


def give_dead_zone(
    student: QuantizedForSequenceClassification, phase: Distilling, learn: Tokens, seed: int, *, trained: bool
) -> Distilling:
    """Give a network the dead zone of a phase, with scales and silent levels chosen on training rows.

    Levels that were already trained with this dead zone are kept, since choosing them again costs accuracy. If a
    network goes back from a dead zone to none, its scales are set again, because silence requires other scales.

    Args:
        trained: whether the network was trained with its present dead zone.

    Returns:
        The phase, with densities if these follow from a price.
    """
    before = student.config.dead_zone if trained else None
    student.set_dead_zone(phase.dead_zone)
    batches = _calibration_batches(learn, phase.batch_size, seed)
    if before and not phase.dead_zone:
        set_scales(student, _largest(batches))
    is_new = before != phase.dead_zone
    if is_new and not phase.densities:
        settle_silence(student, batches)
    planned = priced(phase, student, mixture(learn, seed))
    share = planned.silent_share or planned.quiet_share
    if planned.densities and share is not None and is_new:
        place_densities(student, mixture(learn, seed), share, planned.densities)
    return planned


def mixture(learn: Tokens, seed: int) -> dict[str, Tensor]:
    """Return training rows of all lengths in one batch; fewer if they are long, as attention grows with the square."""
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
    """Copy the blocks of another network that the student has, and the projection before them, if any.

    With ``head``, copy pooler, activation and classifier too. Weights of another width are quantized at the student's
    own scales.

    Raises:
        InputError: the network has other sizes or other blocks.
    """
    check_sizes(student.config.formats, source.config.formats)
    blocks, count = student.config.teacher_blocks, len(source.blocks)
    depth = len(student.blocks) if blocks is None else count  # (checked before to be that of the teacher)
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
    """Fit a student's classifier to the teacher's answers on some rows, by least squares after the present pooler."""
    rows = learn.subset(random.Random(seed).sample(range(len(learn)), min(FITTED, len(learn))))
    order = [row for batch in sorted_batches(rows, MEASURED_ROWS) for row in batch]
    seen: list[Tensor] = []
    with watching({Site(0, "classifier"): student.classifier}, lambda _, __, x: seen.append(x)):
        predict(student, rows)
    moments = Moments.of(torch.cat(seen), predict(teacher, rows)[order], torch.ones(len(rows)))
    weight = least_squares(moments, torch.zeros_like(student.classifier.weight), STIFFNESS)
    student.classifier.weight.copy_(weight)
    student.classifier.bias.copy_(moments.y - weight @ moments.x)
