"""Batches for small teachers, and how far a student is from its teacher with its quantizers off."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from matterhorn.models import full_precision, quantize
from matterhorn.models.watching import taken_by

from ..networks import small_batch


def batch_for(teacher: PreTrainedModel, seed: int = 0, rows: int = 6, longest: int = 11) -> dict[str, torch.Tensor]:
    """Rows of different lengths; token types where the teacher has more than one."""
    batch = small_batch(seed, rows, longest)
    padding = teacher.config.pad_token_id
    batch["input_ids"] = torch.where(batch["attention_mask"] > 0, batch["input_ids"], padding)
    if getattr(teacher.config, "type_vocab_size", 0) < 2:
        batch["token_type_ids"] = torch.zeros_like(batch["token_type_ids"])
    return batch


def without_quantizers(teacher: PreTrainedModel, batch: dict[str, torch.Tensor], **changes: torch.Tensor) -> float:
    """Largest difference of a student's logits from its teacher's with all quantizers off."""
    network = quantize(teacher, batches=[batch]).eval()
    for name, values in changes.items():
        for block in network.layers():
            getattr(block, name).data.copy_(values)
    with torch.no_grad(), full_precision(network, teacher=teacher):
        return float((network(**batch).logits - teacher(**taken_by(teacher, batch)).logits).abs().max())
