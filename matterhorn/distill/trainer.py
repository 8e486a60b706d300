"""Distillation with Hugging Face's ``Trainer``, as an alternative to ``matterhorn.distill``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, Trainer, TrainingArguments

from ..models import QuantizedForSequenceClassification
from ..program.text import INPUTS
from .loss import Distillation
from .measure import ask
from .silence import Silence

SAMPLE = 256
"""Number of rows on which events are counted before training."""


class DistillationTrainer(Trainer):
    """A ``Trainer`` that distills a quantized network from its teacher, and holds shares of silence.

    Training needs no labels. If rows have labels, ``evaluate`` and ``predict`` return the usual loss and metrics. The
    training log includes the recent silent and quiet shares.

    Args:
        model: a calibrated student that already has its final dead zone.
        args, options: arguments of ``Trainer``.
        teacher: a classifier that returns hidden states of the student's width after every block. It is put in
            evaluation mode.
        silent_share, quiet_share: shares to hold, between 0 and 1. If both are given, the one that leaves fewer events
            is decisive. None: nothing is held.
        logit_weight, hidden_weight: weights of the two parts of the loss
            (:class:`matterhorn.distill.loss.Distillation`).

    Raises:
        InputError: the student is not calibrated.

    >>> from tempfile import mkdtemp
    >>> from transformers import BertConfig, BertForSequenceClassification
    >>> from matterhorn.models import quantize
    >>> sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    >>> teacher = BertForSequenceClassification(BertConfig(vocab_size=50, **sizes))
    >>> rows = [{"input_ids": [2, 7, 3]}, {"input_ids": [2, 9, 3]}] * 8
    >>> student = quantize(teacher, dead_zone=1, batches=[{"input_ids": torch.tensor([[2, 7, 3], [2, 9, 3]])}])
    >>> arguments = TrainingArguments(mkdtemp(), max_steps=2, use_cpu=True, report_to=[], disable_tqdm=True)
    >>> trainer = DistillationTrainer(student, arguments, teacher=teacher, train_dataset=rows, silent_share=0.8)
    >>> trainer.train().global_step
    {'train_runtime': ...}
    2
    """

    def __init__(
        self,
        model: QuantizedForSequenceClassification,
        args: TrainingArguments,
        *,
        teacher: PreTrainedModel,
        silent_share: float | None = None,
        quiet_share: float | None = None,
        logit_weight: float = 1.0,
        hidden_weight: float = 1.0,
        **options: Any,
    ):
        model.check_calibrated()
        super().__init__(model=model, args=args, **options)
        teacher.train(False)
        self.distillation = Distillation(model, partial(ask, teacher), logit_weight, hidden_weight)
        self.figures: dict[str, Tensor] = {}
        if silent_share is not None or quiet_share is not None:
            self.distillation.silence = Silence(
                model,
                self._sample(),
                batch_size=args.train_batch_size * args.world_size,
                silent_share=silent_share,
                quiet_share=quiet_share,
            )

    def _sample(self) -> Mapping[str, Tensor]:
        """Collate training rows from the whole data set, the same ones in every process."""
        learn: Any = self.train_dataset
        rows = [learn[place] for place in range(0, len(learn), max(1, len(learn) // SAMPLE))[:SAMPLE]]
        batch: Mapping[str, Tensor] = self.data_collator([{k: row[k] for k in INPUTS if k in row} for row in rows])
        return batch

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the distillation loss during training, and the loss of the labels during evaluation."""
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        batch = {"attention_mask": torch.ones_like(inputs["input_ids"]), **inputs}
        loss, self.figures = self.distillation(model, batch)
        return (loss, {}) if return_outputs else loss

    def log(self, logs: dict[str, float], *others: Any) -> None:
        """Log as usual, and add the silent and quiet share of the last pass to each training loss."""
        shares = {
            name: float(self.figures[name]) for name in ("silent", "quiet") if name in self.figures and "loss" in logs
        }
        super().log(logs | shares, *others)
