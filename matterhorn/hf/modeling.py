"""A program as a model of Hugging Face: pipelines and Auto classes run it like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ..errors import InputError
from ..models.quantized import loss_of
from ..program import Program, load
from ..runtime import Engine
from .configuration import ProgramConfig


class ProgramForSequenceClassification(PreTrainedModel):  # type: ignore[no-untyped-call]
    """A program that answers as ``AutoModelForSequenceClassification`` does. It has no parameters and runs on the CPU.

    Attributes:
        program: what runs. backend: through what: ``model.backend = "exact"``; all but ``analog`` give the same bits.

    Raises:
        InputError: made from a configuration alone.

    >>> model = ProgramForSequenceClassification.from_pretrained("sst2")
    >>> model(torch.tensor([[101, 2307, 102]])).logits.shape
    torch.Size([1, 2])
    """

    config_class = ProgramConfig
    config: ProgramConfig
    main_input_name = "input_ids"

    def __init__(self, config: ProgramConfig, program: Program | None = None):
        super().__init__(config)
        if program is None:
            cure = "load one with from_pretrained, or wrap one with ProgramForSequenceClassification.of(program)"
            raise InputError("a program is made by conversion, not from a config", field="program", cure=cure)
        self.program = program
        self.backend = "events"

    @property
    def backend(self) -> str:
        """Name of the backend."""
        return self.engine.backend.name

    @backend.setter
    def backend(self, name: str) -> None:
        self.engine = Engine(self.program, name)

    @classmethod
    def of(cls, program: Program) -> ProgramForSequenceClassification:
        """Wrap a program."""
        model = cls(ProgramConfig.of(program), program)
        model.train(False)
        return model

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, source: str | Path, *_: Any, revision: str | None = None, **__: Any
    ) -> ProgramForSequenceClassification:
        """Read a program's folder, a shipped program by its name, or one from the hub (``owner/name``).

        Raises:
            InputError: it is no program, or it was cut or altered.
        """
        if not Path(source).is_dir() and str(source).count("/") == 1:
            from huggingface_hub import snapshot_download

            source = snapshot_download(str(source), revision=revision)
        return cls.of(load(source))

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:  # type: ignore[override]
        """Write a program's folder that needs no other."""
        self.program.save(folder)

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Of the logits."""
        return torch.float32

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Run a batch on the CPU.

        Args:
            input_ids, attention_mask, token_type_ids: int64 ``[batch, L]``. labels: ``[batch]``, for a loss.

        Raises:
            InputError: more tokens than the program reads, or numbers outside its tables.
        """
        logits = torch.from_numpy(self.engine(input_ids, attention_mask, token_type_ids).logits)
        return SequenceClassifierOutput(loss=None if labels is None else loss_of(logits, labels), logits=logits)
