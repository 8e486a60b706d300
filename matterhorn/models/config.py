"""Configuration of the quantized network as a Hugging Face configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from transformers import PretrainedConfig

from ..program import Config
from ..program.hub import auto_map

NAMES = tuple(field.name for field in fields(Config))
"""Options that a network and the program converted from it have in common."""


class CarriesItsCode:
    """A model or configuration that is saved together with the module that Auto classes load
    (:mod:`matterhorn.program.hub`).
    """

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "") -> None:
        """Do nothing. Hugging Face would copy this package's files into folders."""


def inverse(names: Mapping[int, str]) -> dict[str, int]:
    """Return numbers by name, for ``label2id``."""
    return {name: number for number, name in names.items()}


class MatterhornConfig(CarriesItsCode, PretrainedConfig):  # type: ignore[no-untyped-call]
    """Sizes and number formats of a quantized network. Every field of :class:`matterhorn.program.Config` is an option.

    There is one more option: ``teacher_blocks``, the numbers of the teacher's blocks that the network has. None: all.

    Raises:
        InputError: a value is not possible. The message names the field.
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
        """The number formats as a checked, immutable :class:`matterhorn.program.Config`.

        Raises:
            InputError: an attribute was set to a value that is not possible.
        """
        return Config(**{name: getattr(self, name) for name in NAMES})

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the outputs, in the order of the logits."""
        return tuple(str(name) for _, name in sorted((int(i), n) for i, n in (self.id2label or {}).items()))
