"""Where a run starts: another run, a pinned program or a task-free encoder; and whether its student fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from ..errors import InputError
from ..models.config import MatterhornConfig
from ..models.encoders import encoder_of
from ..models.general import ARRAYS_FILE, GeneralEncoder, locate_general, read_general
from ..models.latent import LATENTS_FILE
from ..program import Config, Program, find, load
from ..reading import whole
from ..storage import sha256
from .fits import check_sizes, places_of
from .options import formats_of
from .recipe import Frozen, read_recipe
from .state import is_done

Source = Path | Program | GeneralEncoder
"""A network to start from: the folder of a quantized network, a program, or a task-free encoder."""

LEVEL_FORMATS = ("activation_bits", "kv_bits", "silence_per", "levels_per", "activation")
"""Formats that a student must share with a network whose scales and silent levels it takes over."""

RECIPE_FILE = "recipe.yaml"
"""The recipe in a run's folder."""


@dataclass(frozen=True)
class Start:
    """What a run starts from.

    Attributes:
        network: the network.
        teacher: folder of its teacher. None: it is not known, or its teacher was the backbone.
        task: its task. None: it has none.
        latents: file of a program's latent weights, if these are pinned.
    """

    network: Source
    teacher: Path | None
    task: str | None
    latents: Path | None = None


def find_start(run: Path, start: str | Frozen, dead_zone: int) -> Start:
    """Find the run of the recipe ``start`` in a folder next to ``run``, or the pinned program or encoder.

    The network of a run is that of the last phase with the given dead zone, or else of the last phase. Learned silence
    is thus kept, and a network that is to start without silence starts from one without silence if there is any.

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
    place, _, name = start.file.rpartition("/")  # a folder or a model's name
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
    """Check that a student has the same formats of levels as the network whose scales it takes over.

    Args:
        options: options of the student.
        theirs: formats of the network.
        name: what the network is called in errors.

    Raises:
        InputError: one differs.
    """
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
