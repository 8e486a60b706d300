"""General distillation: an encoder becomes a spiking one before any task, as TinyBERT does it (arXiv 1909.10351).

Binary weights and silence are learned once, on texts of many kinds; runs for single tasks start from there.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from torch import Tensor, nn
from transformers import AutoTokenizer, BertForSequenceClassification, PreTrainedTokenizerBase, set_seed

from .backbones import locate
from .data import Tokens, sorted_batches
from .lessons import ask
from .loop import Measure
from .recipe import GeneralRecipe
from .run import distil_rounds
from .teacher import freeze
from .texts import join, load_texts


def distil_generally(recipe: GeneralRecipe, folder: Path, glue_dir: Path | None) -> Path:
    """Run a general recipe in ``folder`` (resuming what is there); returns the folder of the last round's network."""
    main = PartialState(cpu=not torch.cuda.is_available()).is_main_process
    folder.mkdir(parents=True, exist_ok=True)
    if main:
        (folder / "recipe.json").write_text(recipe.model_dump_json(indent=1))
    tokenizer = AutoTokenizer.from_pretrained(locate(recipe.backbone))
    learn, select = general_rows(recipe, tokenizer, glue_dir)

    def teacher() -> BertForSequenceClassification:
        set_seed(recipe.seed)  # of its head, which the backbone has not
        return BertForSequenceClassification.from_pretrained(locate(recipe.backbone))

    measure = nearness(freeze(teacher()))
    return distil_rounds(recipe, folder, Path(locate(recipe.backbone)), teacher, measure, learn, select, tokenizer)


def general_rows(
    recipe: GeneralRecipe, tokenizer: PreTrainedTokenizerBase, glue_dir: Path | None
) -> tuple[Tokens, Tokens]:
    """Training texts of the recipe's tasks, mixed, and the rows held out of them to choose by; no labels."""
    rows = join(load_texts(recipe, tokenizer, glue_dir))
    order = random.Random(recipe.seed).sample(range(len(rows)), len(rows))
    held = min(recipe.selection_rows, len(rows) // 5)
    return rows.subset(order[held:]), rows.subset(order[:held])


def nearness(teacher: nn.Module) -> Measure:
    """Minus the mean squared error of the hidden states, summed over the blocks."""

    def measure(student: nn.Module, rows: Tokens, accelerator: Accelerator) -> dict[str, float]:
        was_training, errors = student.training, torch.zeros(2, device=accelerator.device)
        student.eval()
        for numbers in sorted_batches(rows, 64)[accelerator.process_index :: accelerator.num_processes]:
            batch = {k: v.to(accelerator.device) for k, v in rows.batch(numbers).items()}
            with torch.autocast(accelerator.device.type, torch.bfloat16):
                _, taught = ask(teacher, batch)
            with torch.no_grad():
                own = student(**batch, output_hidden_states=True).hidden_states[1:]
            errors += _squares(own, taught, batch["attention_mask"].bool())
        student.train(was_training)
        total, count = accelerator.reduce(errors).tolist()
        return {"nearness": -total / count}

    return measure


def _squares(own: tuple[Tensor, ...], taught: tuple[Tensor, ...], present: Tensor) -> Tensor:
    """Sum over the blocks of squared errors per unit, added over tokens; and the number of tokens."""
    errors = [(a[present] - b[present].float()).square().mean(-1).sum() for a, b in zip(own, taught, strict=True)]
    return torch.stack([torch.stack(errors).sum(), present.sum()])
