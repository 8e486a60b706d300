"""A tutor: a larger model, fine-tuned on some rows, that says what all rows mean, so that a small teacher learns from
answers and not from labels alone.

A student is no better than what its teacher says of sentences that neither has seen. On the rows that it was fine-tuned
on a teacher repeats their labels; a larger model tells it how sure one can be.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase, set_seed

from .augment import recombine
from .backbones import locate
from .checkpoint import is_done
from .data import WHOLE_SENTENCE, Examples, Tokens, tokenize
from .loop import metrics_of, multiplies_bf16, predict_tokens, run_phase
from .recipe import Recipe, TutorPhase
from .tasks import Task
from .teacher import head_options, task_loss
from .texts import join, texts_of

SHORTEST = 4
"""Words from which a piece of a sentence tells enough to ask a large model about it."""

TOGETHER = 4096
"""Rows whose answers are one file: a killed run asks again for so many at most."""


def lessons(
    recipe: Recipe,
    tutor: TutorPhase,
    task: Task,
    rows: Examples,
    selection: Examples,
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
) -> Tokens:
    """Training rows, and new ones made of them, with what the tutor says of them: for the teacher to learn.

    Labels are probabilities of classes (or scores): the tutor's, and for given rows the mean of those and the label.

    Args:
        rows, selection: training rows, and those held out. tokenizer: the teacher's.
        folder: of the tutor; its weights and answers are kept there, and what is there is not done again.
    """
    read = AutoTokenizer.from_pretrained(locate(tutor.backbone))
    fine_tune_tutor(tutor, task, telling(rows, tutor.rows, recipe.seed), selection, read, folder, recipe)
    asked = rows.subset([i for i, row in enumerate(rows.texts) if _words(row) >= SHORTEST])
    own = tokenize(asked, tokenizer, task, recipe.max_length)
    if tutor.recombined:
        own = join([own, recombine(tokenize(rows, tokenizer, task, recipe.max_length), tutor.recombined, recipe.seed)])
    texts = Examples(texts_of(own, tokenizer), [])
    said = answers(tokenize(texts, read, task, recipe.max_length, types=False), task, folder)
    said[: len(asked)] = (said[: len(asked)] + _certain(asked.labels, task)) / 2
    return replace(own, labels=said.squeeze(-1).tolist())


def telling(rows: Examples, count: int, seed: int) -> Examples:
    """``count`` rows to fine-tune a large model on: half of them whole sentences and half pieces of four words or more,
    or more of one where there are too few of the other."""
    draw, words = random.Random(seed), [_words(row) for row in rows.texts]
    whole = [i for i, n in enumerate(words) if n >= WHOLE_SENTENCE]
    pieces = [i for i, n in enumerate(words) if SHORTEST <= n < WHOLE_SENTENCE]
    draw.shuffle(whole)
    draw.shuffle(pieces)
    chosen = whole[: max(count // 2, count - len(pieces))]
    return rows.subset(chosen + pieces[: count - len(chosen)])


def fine_tune_tutor(
    tutor: TutorPhase,
    task: Task,
    rows: Examples,
    selection: Examples,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    recipe: Recipe,
) -> None:
    """Fine-tune the tutor; the best one lands in ``folder/best``."""
    if is_done(folder / "last"):
        return
    set_seed(recipe.seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        locate(tutor.backbone), **head_options(task), ignore_mismatched_sizes=True
    )
    model.base_model.embeddings.requires_grad_(tutor.train_embeddings)
    for block in model.base_model.encoder.layer[: tutor.frozen_blocks]:
        block.requires_grad_(False)
    learn, select = (tokenize(some, tokenizer, task, recipe.max_length, types=False) for some in (rows, selection))
    run_phase(model, task_loss, metrics_of(task), learn, select, tutor, folder, recipe.seed)
    tokenizer.save_pretrained(folder / "best")


def answers(rows: Tokens, task: Task, folder: Path) -> Tensor:
    """What the tutor in ``folder/best`` says of rows: probabilities ``[rows, classes]``, or scores ``[rows, 1]``.

    Asked once, in parts that processes share, each kept in a file that is named after its rows.
    """
    state = PartialState(cpu=not torch.cuda.is_available())
    order = sorted(range(len(rows)), key=lambda i: (len(rows.ids[i]), i))
    parts = [order[i : i + TOGETHER] for i in range(0, len(order), TOGETHER)]
    files = [folder / f"said-{_digest(rows.subset(part))}.safetensors" for part in parts]
    missing = [number for number, file in enumerate(files) if not file.is_file()]
    mine = missing[state.process_index :: state.num_processes]
    if mine:
        model = AutoModelForSequenceClassification.from_pretrained(folder / "best").to(state.device)
        lean = torch.autocast(state.device.type, torch.bfloat16, enabled=multiplies_bf16())
        for number in tqdm(mine, desc="tutor's answers", mininterval=5, disable=not state.is_main_process):
            with lean:
                logits = predict_tokens(model, rows.subset(parts[number]))
            unfinished = files[number].with_suffix(".tmp")
            save_file({"logits": logits}, unfinished)
            unfinished.rename(files[number])
    state.wait_for_everyone()
    logits = torch.cat([load_file(file)["logits"] for file in files])
    said = torch.empty_like(logits).index_copy(0, torch.tensor(order), logits)
    return said if task.is_regression else said.softmax(-1)


def _certain(labels: list[float], task: Task) -> Tensor:
    """Given labels as a tutor would say them who has no doubt."""
    if task.is_regression:
        return torch.tensor(labels, dtype=torch.float32)[:, None]
    return F.one_hot(torch.tensor(labels, dtype=torch.int64), task.outputs).float()


def _digest(rows: Tokens) -> str:
    """What a part's file is known by, so that answers to other rows are never taken for these."""
    return hashlib.sha256(repr(rows.ids).encode()).hexdigest()[:16]


def _words(row: tuple[str, ...]) -> int:
    return sum(len(text.split()) for text in row)
