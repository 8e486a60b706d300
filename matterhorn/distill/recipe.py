"""A recipe: every setting of a training run, read from a YAML file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import InputError
from ..models.config import KINDS


class Settings(BaseModel):
    """Unknown keys are refused, so that a misspelt setting is an error and not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Phase(Settings):
    """Settings that every phase of training has."""

    epochs: float = Field(gt=0)
    learning_rate: float = Field(gt=0)
    latent_rate: float = Field(1.0, gt=0)
    """Learning rate of the latent weights behind few-bit ones, as a multiple of ``learning_rate``."""
    batch_size: int = Field(64, gt=0)
    warmup: float = Field(0.05, ge=0, lt=1)
    weight_decay: float = Field(0.01, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    average: float = Field(0.0, ge=0, lt=1)
    """Decay of an exponential average of the weights, which then is evaluated and kept; 0: the last weights are.
    One-bit weights that keep flipping get the sign they have most of the time."""
    mean_of: int = Field(0, ge=0)
    """At the end the mean of the weights at the last so many evaluations is measured too (:mod:`~.mean`). It may send
    more events than each of them: look at its silent share."""
    evaluate_every: int = Field(200, gt=0)
    """Steps between evaluations on the selection rows (the best is kept)."""


class TeacherPhase(Phase):
    """Fine-tuning of the teacher."""

    train_embeddings: bool = False
    """Else they stay those of the backbone, and models of several tasks can share them."""


class TutorPhase(TeacherPhase):
    """Fine-tuning of a tutor (:mod:`~.tutor`): a larger model whose answers the teacher learns."""

    backbone: str = "mpnet-base"
    rows: int = Field(20000, gt=0)
    """It is fine-tuned on at most so many."""
    frozen_blocks: int = Field(0, ge=0)
    """Its first blocks, so many, stay as they are."""
    recombined: int = Field(0, ge=0)
    """So many new rows (:func:`~.augment.recombine`) are answered too, and learned by the teacher."""


class Round(Phase):
    """One round of distillation at one dead zone."""

    dead_zone: int = Field(0, ge=0)
    silent_target: float | None = Field(None, gt=0, lt=1)
    """Silent share to aim for: each expected event costs a price, which is steered until the share is reached."""
    event_price: float = Field(0.0, ge=0)
    """Price of an event at the start of the round (and throughout, without a target)."""
    place_steps: bool = False
    """Place steps and silent levels at the start so that the target's share of windows is silent, with the least error.
    For a network that knew no dead zone: one that was trained with it is undone by any new placement."""
    densities: dict[str, float] = {}
    """Densities of events, as multiples of each other, of all kinds of populations, for ``place_steps`` to reach
    instead of its own choice: input, queries, probabilities, mixed, hidden, middle."""
    hold_steps: bool = False
    """Learn no steps: learned ones shrink and undo the dead zone."""
    hold_shares: bool = False
    """Let every step follow its activations so that each kind of population keeps its share of silence
    (:class:`~.shares.Shares`), and the whole network the target; steps are not learned then."""
    device_deviation: float = Field(0.0, ge=0, lt=1)
    """Noise-aware: cells are off by this share of their conductance (one σ); connections are written anew in turn."""
    hidden_weight: float = Field(1.0, ge=0)
    logit_weight: float = Field(1.0, ge=0)
    label_weight: float = Field(0.0, ge=0)

    @field_validator("densities")
    @classmethod
    def _all_kinds(cls, value: dict[str, float]) -> dict[str, float]:
        if value and (set(value) != set(KINDS) or min(value.values()) <= 0):
            raise ValueError(f"give a positive density for each of {', '.join(KINDS)}")
        return value


class Writing(Settings):
    """Rows that a causal language model writes after prompts of the task's rows (:mod:`~.writer`)."""

    model: str = "smollm2-135m"
    title: str
    """First line of a prompt: what the rows are."""
    prompts: int = Field(gt=0)
    """Up to 256 rows come of each."""
    longest: int = Field(40, gt=0)
    """Tokens of a row; longer ones are left out."""


class Distilling(Settings):
    """Rounds of distillation, each from where the last one ended."""

    backbone: str = "minilm-l6"
    seed: int = 1
    max_length: int = Field(128, ge=8, le=512)
    selection_rows: int = Field(2000, gt=0)
    device: str = "ideal"
    """Memristive device that ``device_deviation`` strays from."""
    remember_teacher: bool = False
    """Ask the teacher once for every row and keep its answers in memory (:class:`~.lessons.Memory`): faster from two
    epochs on."""
    texts: list[str] = []
    """Tasks whose training texts are read without their labels: the teacher says what they mean."""
    texts_each: int = Field(20000, gt=0)
    """At most so many rows of each."""
    network: dict[str, Any] = {}
    """Options of :class:`~matterhorn.models.MatterhornConfig`, e.g. ``weight_bits``."""
    rounds: list[Round] = Field(min_length=1)


class Recipe(Distilling):
    """A whole run for one task: a teacher is fine-tuned, then distilled."""

    task: str
    start_from: str | None = None
    """A run of another task, or a general one, in a folder beside this one, or a shipped model: its network (of the
    round with the first round's dead zone, if there is one), and its teacher if it has one, are where this one's
    begin."""
    reworded: int = Field(0, ge=0)
    """So many more texts to distil on, each a row of the task, of ``texts`` or one made as follows, in other words
    (:func:`~.augment.reword`)."""
    writing: Writing | None = None
    """Texts to distil on that a language model writes."""
    recombined: int = Field(0, ge=0)
    """So many more texts to distil on, each a row with one of its pieces exchanged (:func:`~.augment.recombine`)."""
    edited: int = Field(0, ge=0)
    """So many more texts to distil on, each a row with one token too many, too few or out of place
    (:func:`~.augment.edit`)."""
    rematched: int = Field(0, ge=0)
    """At most so many more pairs to distil on, each of two sentences that no row has side by side
    (:func:`~.augment.rematch`)."""
    tutor: TutorPhase | None = None
    """A larger model that teaches the teacher; without one the teacher learns labels."""
    teacher: TeacherPhase

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        made = self.reworded or self.recombined or self.edited or self.rematched
        if (self.texts or self.writing or made) and any(settings.label_weight for settings in self.rounds):
            raise ValueError("texts have no labels to weigh: give no label_weight")
        return self


class GeneralRecipe(Distilling):
    """A run for no task: the backbone itself teaches its hidden states on the training texts of several tasks."""

    texts: list[str] = Field(min_length=1)


def load_recipe(name: str | Path) -> Recipe | GeneralRecipe:
    """A shipped recipe by its name (``sst2``, ``general``, ``bert-base/sst2``), or one from a YAML file."""
    path = Path(name)
    shelf = Path(str(resources.files(__package__).joinpath("recipes")))
    if path.suffix not in (".yaml", ".yml"):
        path = shelf / f"{name}.yaml"
    if not path.is_file():
        shipped = sorted(p.relative_to(shelf).with_suffix("").as_posix() for p in shelf.rglob("*.yaml"))
        raise InputError("no such recipe", file=name, cure=f"give a .yaml file or one of {', '.join(shipped)}")
    return read_recipe(path)


def read_recipe(path: Path) -> Recipe | GeneralRecipe:
    """A recipe from a YAML file, or from the ``recipe.json`` of a run."""
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Recipe(**plain) if "task" in plain else GeneralRecipe(**plain)
    except (ValidationError, yaml.YAMLError, TypeError, OSError) as error:
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise InputError(first["msg"], file=path, field=field, cure="mend the recipe") from error
        raise InputError(f"not a recipe ({error})", file=path, cure="see the shipped recipes") from error
