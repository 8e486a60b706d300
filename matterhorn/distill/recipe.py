"""Recipes: all settings of a training run, read from a YAML file. A recipe has one or more phases."""

from __future__ import annotations

from collections import Counter
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, field_validator, model_validator

from ..energy import load as load_chip
from ..errors import InputError
from ..msu import load_device
from ..reading import Exact, Name, read_yaml, validated
from ..tasks.sources import Use, sources
from ..tasks.task import get_task
from ..topology import POPULATION
from .options import checked_options, formats_of

EVALUATIONS = 6
"""Number of evaluations in a phase whose length is given in minutes."""

MOST_ROWS, MOST_PHASES = 10**8, 100
"""Largest numbers of rows and of phases that a recipe may ask for."""

TARGET_CURE = "give one silent_share, quiet_share or joules, and a dead_zone"

FAMILY = "minilm"
"""Family of shipped recipes that are named by their task alone."""


class Phase(Exact):
    """One stretch of training: learning rate, length, and which weights are kept."""

    epochs: float = Field(1.0, gt=0, le=10_000)
    minutes: float | None = Field(None, gt=0, le=1_000_000)
    """Train for this long, evaluations included, instead of ``epochs``. The learning rate follows the clock, and there
    are :data:`EVALUATIONS` evaluations.
    """
    steps: int | None = Field(None, gt=0, le=10**9)
    """Train for this many steps instead of ``epochs``. With ``minutes`` it is a maximum."""
    learning_rate: float = Field(gt=0, le=100)
    batch_size: int = Field(64, gt=0, le=100_000)
    """Rows per step, over all processes together."""
    tokens: int | None = Field(None, ge=8, le=10**8)
    """Padded tokens per step, instead of ``batch_size``, in batches of few shapes. On a GPU, each is a CUDA graph."""
    warmup: float = Field(0.05, ge=0, lt=1)
    weight_decay: float = Field(0.01, ge=0, le=100)
    clip_norm: float = Field(1.0, gt=0)
    average: float = Field(0.0, ge=0, lt=1)
    """Decay of a moving average of the weights, which is evaluated and kept instead of them. 0: no average. One-bit
    weights that keep flipping have, in the average, the sign that they have most of the time."""
    evaluate_every: int = Field(200, gt=0, le=10**9)
    """Steps between evaluations on the held-out rows. The best network is kept."""
    patience: int = Field(4, gt=0)
    """Evaluations without progress on held-out rows, while training still improves, until a message is printed."""


class Teaching(Phase):
    """Fine-tuning of the teacher on labels."""

    train_embeddings: bool = False
    """Whether embeddings are trained. If not, models of several tasks can share those of the backbone."""


class Distilling(Phase):
    """Distillation at one dead zone."""

    dead_zone: int = Field(0, ge=0)
    silent_share: float | None = Field(None, gt=0, lt=1)
    """Silent share to hold. Scales follow their activations (:class:`~.silence.Silence`) instead of being learned."""
    quiet_share: float | None = Field(None, gt=0, lt=1)
    """Quiet share to hold, in the same way. If both are given, the one that asks for more silence is decisive."""
    densities: dict[str, float] = Field({})
    """Relative densities of events in the populations, held together with the share. If the dead zone is new, scales
    and silent levels are set for them at the start. A network that was already trained with this dead zone would be
    damaged by that; its scales move there step by step.
    """
    matched: bool = False
    """Whether weights and levels are first fitted to the teacher, part by part, with the dead zone in place
    (:func:`~matterhorn.models.matching.match`), for weights of more than one bit. Prices are computed without it."""
    price: str | None = None
    """Name or file of a chip. Densities follow from the energy of an event of each population on it and from its value
    (:mod:`~.price`), and are held from the start, whatever the network was trained with."""
    joules: float | None = Field(None, gt=0)
    """Target energy per sentence on the chip ``price``, in J, instead of shares."""
    weight_rate: float | None = Field(None, ge=0, le=100)
    """Learning rate of few-bit weights, if not that of everything else (docs/training.md). 0: none of them changes."""
    hidden_weight: float = Field(1.0, ge=0)
    logit_weight: float = Field(1.0, ge=0)
    embedding_weight: float = Field(0.0, ge=0)
    """Weight of 1 − cosine of the sentence embeddings (means of the last states), for an encoder without a task."""
    device: str = "ideal"
    """Memristive device whose cells a noise-aware phase simulates."""
    device_deviation: float = Field(0.0, ge=0, lt=1)
    """Relative standard deviation of the cells' conductance in noise-aware training (:class:`~.noise.Chips`)."""

    @field_validator("densities")
    @classmethod
    def _check_densities(cls, value: dict[str, float]) -> dict[str, float]:
        if value and (set(value) != set(POPULATION) or min(value.values()) <= 0):
            raise ValueError(f"give a positive density for each of {', '.join(POPULATION)}")
        return value

    @field_validator("price")
    @classmethod
    def _check_chip(cls, value: str | None) -> str | None:
        if value is not None:
            load_chip(value)
        return value

    @field_validator("device")
    @classmethod
    def _check_device(cls, value: str) -> str:
        load_device(value)
        return value

    @model_validator(mode="after")
    def _check_targets(self) -> Distilling:
        if self.densities and self.silent_share is None and self.quiet_share is None:
            raise ValueError("densities are placed for a share: give silent_share or quiet_share")
        if self.price and (self.densities or not self.can_be_priced):
            raise ValueError(
                "a price takes a dead zone, a target (silent_share, quiet_share or joules) and no densities"
            )
        if self.joules is not None and (self.price is None or self.silent_share or self.quiet_share):
            raise ValueError("joules are a target of their own, on the chip that price names")
        return self

    @property
    def can_be_priced(self) -> bool:
        """Whether the phase has a dead zone and a target, so that densities can follow from prices."""
        return bool(self.dead_zone and any((self.silent_share, self.quiet_share, self.joules)))

    def priced(self, chip: str) -> Distilling:
        """Return the phase with densities that follow from the prices of a chip, or itself if it cannot be priced."""
        settings = self.model_dump() | {"price": chip, "densities": {}}
        return Distilling(**settings) if self.can_be_priced else self


class Frozen(Exact):
    """A file to start from, ``<model>/<file>``, and its expected hash: a program's array file, the latent weights next
    to it, or the arrays of a task-free encoder (``general-mini/encoder.npz``).
    """

    file: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Recipe(Exact):
    """All settings of a run: the phases from a backbone, or from the result of another recipe, to one model.

    With a task, a teacher is fine-tuned and then distilled. Without a task, the backbone teaches its hidden states on
    texts of several tasks. If there is a ``teacher`` too, it is the backbone after learning to compare
    (:mod:`~.compare`).
    """

    task: str | None = None
    backbone: Name = "minilm-l6"
    start: Name | Frozen | None = None
    """What to start from: the name of a recipe, whose run is in a folder next to this one; a program, whose weights
    are restored; or a task-free encoder. Of a run, the teacher and a network are used: that of the last phase with the
    same dead zone as the first phase here, or else of the last phase.
    """
    seed: int = Field(1, ge=0, lt=2**32)
    max_length: int = Field(128, ge=8, le=512)
    selection_rows: int = Field(2000, gt=0, le=MOST_ROWS)
    texts: list[str] = Field([])
    """Tasks whose training texts are used without their labels, since the teacher labels them."""
    texts_each: int = Field(20000, gt=0, le=MOST_ROWS)
    """Maximum number of rows of each of these tasks."""
    sources: list[Use] = Field([])
    """Public unlabeled text (``matterhorn data``), each with its version and SHA-256."""
    reworded: int = Field(0, ge=0, le=MOST_ROWS)
    """Number of more texts with some words replaced (:func:`~.augment.reword`), made from all rows and made-up rows."""
    recombined: int = Field(0, ge=0, le=MOST_ROWS)
    """Number of additional texts, each a row with one piece exchanged (:func:`~.augment.recombine`)."""
    edited: int = Field(0, ge=0, le=MOST_ROWS)
    """Number of additional texts, each a row with a token added, missing or misplaced (:func:`~.augment.edit`)."""
    rematched: int = Field(0, ge=0, le=MOST_ROWS)
    """Maximum number of additional pairs of sentences that are not together in any row (:func:`~.augment.rematch`)."""
    network: Annotated[dict[str, Any], AfterValidator(checked_options)] = Field({})
    """Options of :func:`matterhorn.quantize`, e.g. ``weights``."""
    teacher: Teaching | None = None
    phases: list[Distilling] = Field(min_length=1, max_length=MOST_PHASES)

    @field_validator("task")
    @classmethod
    def _check_task(cls, value: str | None) -> str | None:
        return value if value is None else get_task(value).name

    @field_validator("sources")
    @classmethod
    def _check_sources(cls, value: list[Use]) -> list[Use]:
        known = sources()
        _distinct([use.name for use in value])
        for use in value:
            if (own := known.get(use.name)) and (own.version, own.sha256) != (use.version, use.sha256):
                cure = f"give version {own.version}, sha256 {own.sha256}"
                raise InputError("not the version that is known", field=use.name, cure=cure)
        return value

    @field_validator("texts")
    @classmethod
    def _check_texts(cls, value: list[str]) -> list[str]:
        return _distinct([get_task(name).name for name in value])

    @model_validator(mode="after")
    def _check_consistency(self) -> Recipe:
        made = self.reworded or self.recombined or self.edited or self.rematched
        if self.task is None and (made or not (self.texts or self.sources)):
            raise ValueError("a recipe without a task has texts, and no rows made of others")
        if self.task is not None and self.teacher is None:
            raise ValueError("a recipe of a task needs a teacher")
        if self.task in self.texts:
            raise ValueError(f"texts: {self.task}'s own rows are learned from anyway; leave it out")
        for number, phase in enumerate(self.phases):
            if phase.matched and (number or self.start is not None):
                raise ValueError(f"phases.{number}.matched: only for a first phase without a start; leave it out")
            try:
                formats_of(self.network, phase.dead_zone)
            except InputError as error:
                raise ValueError(f"phases.{number}.{error}") from error
        if self.task is None and self.network.get("blocks") is not None:
            raise ValueError("network.blocks: an encoder for all tasks has all blocks; leave it out")
        for number, (before, after) in enumerate(pairwise(phase.dead_zone for phase in self.phases), 1):
            if after < before:
                raise ValueError(f"phases.{number}.dead_zone: {after} after {before}: it never narrows again")
        return self

    def priced(self, chip: str) -> Recipe:
        """Return the recipe with all phases priced on a chip that can be priced.

        Raises:
            InputError: no phase can.
        """
        if not self.can_be_priced:
            raise InputError("no phase has a target and a dead zone", field="price", cure=TARGET_CURE)
        return self.model_copy(update={"phases": [phase.priced(chip) for phase in self.phases]})

    @property
    def can_be_priced(self) -> bool:
        """Whether a phase can be priced."""
        return any(phase.can_be_priced for phase in self.phases)


def _distinct(names: list[str]) -> list[str]:
    """Check that no name is there twice, and return the names."""
    if len(set(names)) < len(names):
        raise ValueError(f"{Counter(names).most_common(1)[0][0]} twice")
    return names


def shelf() -> Path:
    """Folder of the shipped recipes, ``<family>/<task>.yaml``."""
    return Path(str(resources.files(__package__).joinpath("recipes")))


def shipped_recipes() -> list[str]:
    """Names of the shipped recipes, ``<family>/<task>``."""
    return sorted(path.relative_to(shelf()).with_suffix("").as_posix() for path in shelf().glob("*/*.yaml"))


def full_name(name: str) -> str:
    """Return ``<family>/<task>`` of a shipped recipe. The default family is :data:`FAMILY`."""
    return name if "/" in name else f"{FAMILY}/{name}"


def load_recipe(name: str | Path) -> Recipe:
    """Load a shipped recipe by its name (``sst2``, ``bert-base/sst2``), or a recipe from a YAML file.

    Raises:
        InputError: there is no such recipe, or a setting is not possible. The message names file and field.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = shelf() / f"{full_name(str(name))}.yaml"
    if not path.is_file():
        cure = f"give a .yaml file or one of {', '.join(shipped_recipes())}"
        raise InputError("no such recipe", file=name, cure=cure)
    return read_recipe(path)


def as_yaml(recipe: Recipe) -> str:
    """Format a recipe as YAML: task, backbone and seed, and every setting that is not at its default."""
    named = {name: getattr(recipe, name) for name in ("task", "backbone", "seed")}
    plain = named | recipe.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(plain, sort_keys=False, width=120)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a YAML file, e.g. the ``recipe.yaml`` of a run.

    Raises:
        InputError: a setting is not possible. The message names file and field.
    """
    return validated(Recipe, read_yaml(path, "see the shipped recipes"), path, "mend it")
