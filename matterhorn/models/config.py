"""Configuration of the quantized network, as Hugging Face keeps it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from transformers import PretrainedConfig

from ..program import Config

NAMES = tuple(field.name for field in fields(Config))
"""Options that a network and the program made of it have in common."""


class MatterhornConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """Shape and number formats of a quantized network: every field of :class:`matterhorn.program.Config` is an option.

    Raises:
        InputError: a value that is not possible; it names the field.
    """

    model_type = "matterhorn"

    def __init__(self, **options: Any):
        own = {name: options.pop(name) for name in NAMES if name in options}
        super().__init__(**({"tie_word_embeddings": False} | options))
        formats = Config(**own)
        for name in NAMES:
            setattr(self, name, getattr(formats, name))
        self.dead_zones = dict(formats.dead_zones)

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
