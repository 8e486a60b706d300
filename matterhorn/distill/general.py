"""General distillation: an encoder becomes a spiking one before any task, as TinyBERT does it (arXiv 1909.10351).

Binary weights and silence are learned once, on texts of many kinds; recipes of single tasks can start from there.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from accelerate import Accelerator
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertForSequenceClassification, set_seed

from ..tasks.tokens import Tokens, sorted_batches
from .measure import Measure, Measured, on_device
from .recipe import Recipe
from .teacher import ask, locate
from .texts import join, load_texts


def general_teacher(recipe: Recipe) -> BertForSequenceClassification:
    """The backbone, with a head that it has not and nobody reads."""
    set_seed(recipe.seed)
    return BertForSequenceClassification.from_pretrained(locate(recipe.backbone))


def general_rows(recipe: Recipe, tokenizer: Tokenizer, glue_dir: Path | None) -> tuple[Tokens, Tokens]:
    """Training texts of the recipe's tasks, mixed, and the rows held out of them to choose by; no labels."""
    rows = join(load_texts(recipe, tokenizer, glue_dir))
    order = random.Random(recipe.seed).sample(range(len(rows)), len(rows))
    held = min(recipe.selection_rows, len(rows) // 5)
    return rows.subset(order[held:]), rows.subset(order[:held])


def by_hidden_error(teacher: nn.Module) -> Measure:
    """A student is chosen by the mean squared error of its hidden states, summed over the blocks."""

    def measure(student: nn.Module, rows: Tokens, accelerator: Accelerator) -> Measured:
        was_training, errors = student.training, torch.zeros(2, device=accelerator.device)
        student.eval()
        for numbers in sorted_batches(rows, 64)[accelerator.process_index :: accelerator.num_processes]:
            batch = on_device(rows.batch(numbers), accelerator.device)
            with torch.autocast(accelerator.device.type, torch.bfloat16):
                _, taught = ask(teacher, batch)
            with torch.no_grad():
                own = student(**batch, output_hidden_states=True).hidden_states[1:]
            errors += _squares(own, taught, batch["attention_mask"].bool())
        student.train(was_training)
        total, count = accelerator.reduce(errors).tolist()
        return Measured(-total / count, {"hidden_error": total / count})

    return measure


def _squares(own: tuple[Tensor, ...], taught: tuple[Tensor, ...], present: Tensor) -> Tensor:
    """Sum over the blocks of squared errors per unit, added over tokens; and the number of tokens."""
    errors = [(a[present] - b[present].float()).square().mean(-1).sum() for a, b in zip(own, taught, strict=True)]
    return torch.stack([torch.stack(errors).sum(), present.sum()])
