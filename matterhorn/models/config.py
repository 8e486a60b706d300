"""Configuration of the quantized network as a Hugging Face configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from transformers import PretrainedConfig

from ..program import Config
from ..program.hub import auto_map

NAMES = tuple(field.name for field in fields(Config))
"""Options that a network and the program made of it have in common."""


class CarriesItsCode:
    """What is saved brings the module that the Auto classes load (:mod:`matterhorn.program.hub`)."""

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "") -> None:
        """Nothing to do; Hugging Face would have this package's files copied into folders."""


def inverse(names: Mapping[int, str]) -> dict[str, int]:
    """Numbers by name, for ``label2id``."""
    return {name: number for number, name in names.items()}


class MatterhornConfig(CarriesItsCode, PretrainedConfig):  # type: ignore[no-untyped-call]
    """Shape and number formats of a quantized network: every field of :class:`matterhorn.program.Config` is an option.

    ``teacher_blocks``, an option beside these, are the numbers of the teacher's blocks that the network has; None: all.

    Raises:
        InputError: a value that is not possible; it names the field.
    """

    model_type = "matterhorn"

    def __init__(self, **options: Any):
        own = {name: options.pop(name) for name in NAMES if name in options}
        code = auto_map("MatterhornConfig", "QuantizedForSequenceClassification")
        usual: dict[str, Any] = {"tie_word_embeddings": False, "auto_map": code}
        blocks = options.pop("teacher_blocks", None)
        super().__init__(**(usual | options))
        checked = Config(**own)
        for name in NAMES:
            setattr(self, name, getattr(checked, name))
        self.dead_zones = dict(checked.dead_zones)
        self.teacher_blocks: list[int] | None = blocks

    @property
    def formats(self) -> Config:
        """The same, frozen and checked.

        Raises:
            InputError: an attribute was set to a value that is not possible.
        """
        return Config(**{name: getattr(self, name) for name in NAMES})

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the outputs, in the order of the logits."""
        return tuple(str(name) for _, name in sorted((int(i), n) for i, n in (self.id2label or {}).items()))
