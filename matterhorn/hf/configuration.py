"""A program's ``config.json`` as a configuration of Hugging Face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PretrainedConfig

from ..program import Config, Program
from ..program.files import MODEL_TYPE


class ProgramConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """What a program's folder says of it.

    Args:
        network: options of :class:`matterhorn.program.Config`. labels: names of the outputs.
        task: what it was trained for, if known. others: see :mod:`matterhorn.program.files`.
    """

    model_type = MODEL_TYPE

    def __init__(
        self,
        network: Mapping[str, Any] | None = None,
        labels: Sequence[str] = ("LABEL_0", "LABEL_1"),
        task: str | None = None,
        **others: Any,
    ):
        formats, names = Config(**(network or {})), dict(enumerate(labels))
        others.pop("num_labels", None)
        super().__init__(**(others | {"id2label": names, "label2id": {name: i for i, name in names.items()}}))
        self.network, self.labels, self.task = formats.plain(), list(labels), task
        self.pad_token_id = formats.pad_token_id

    @classmethod
    def of(cls, program: Program) -> ProgramConfig:
        """The configuration of a program."""
        kind = program.problem_type
        return cls(network=program.config.plain(), labels=program.labels, task=program.task, problem_type=kind)
