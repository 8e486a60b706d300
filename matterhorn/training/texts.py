"""Training texts of several tasks without their labels: what a teacher says of them is lesson enough."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from .data import Examples, Tokens, load_examples, tokenize
from .recipe import Distilling
from .tasks import get_task

NEIGHBOURS, REPLACED = 8, 0.3
"""Of :func:`reword`: how many tokens count as alike, and the share of tokens that are replaced."""


def load_texts(recipe: Distilling, tokenizer: PreTrainedTokenizerBase, glue_dir: Path | None) -> list[Tokens]:
    """Rows of each of the recipe's ``texts``, drawn with its seed; no labels."""
    parts = []
    for name in recipe.texts:
        task = get_task(name)
        examples = load_examples(task, "train", glue_dir)
        rows = random.Random(recipe.seed).sample(range(len(examples)), min(recipe.texts_each, len(examples)))
        unlabelled = Examples([examples.texts[i] for i in rows], [])
        parts.append(tokenize(unlabelled, tokenizer, task, recipe.max_length))
    return parts


def reword(rows: Tokens, table: Tensor, count: int, seed: int) -> Tokens:
    """New rows: given ones, long ones more often, with about a third of their tokens replaced by others of like meaning
    (as TinyBERT augments its data, arXiv 1909.10351). No labels: the teacher says what has become of them.

    ``table``: embeddings of all tokens, ``[vocabulary, width]``; alike are the :data:`NEIGHBOURS` with the largest
    cosine, of those that occur in the rows.
    """
    vocabulary, others = neighbours(rows, table)
    draw = random.Random(seed)
    chosen = draw.choices(range(len(rows)), weights=[len(row) for row in rows.ids], k=count)
    ids = [
        [draw.choice(others[vocabulary[t]]) if t in vocabulary and draw.random() < REPLACED else t for t in rows.ids[i]]
        for i in chosen
    ]
    return replace(rows, ids=ids, types=[rows.types[i] for i in chosen], labels=[])


def neighbours(rows: Tokens, table: Tensor) -> tuple[dict[int, int], list[list[int]]]:
    """Place of each token that occurs in the rows, and the tokens most like each, by place; not of those that frame a
    row or part its sentences."""
    frame = {row[place] for row in rows.ids for place in (0, -1)}
    present = sorted({token for row in rows.ids for token in row} - frame)
    own = F.normalize(table[torch.tensor(present)].float(), dim=-1)
    number = min(NEIGHBOURS, len(present) - 1)
    others: list[list[int]] = []
    for start in range(0, len(own), 1024):
        alike = (own[start : start + 1024] @ own.T).topk(number + 1).indices[:, 1:]
        others += [[present[i] for i in places] for places in alike.tolist()]
    return {token: place for place, token in enumerate(present)}, others


def join(parts: list[Tokens]) -> Tokens:
    """All rows in one, without labels."""
    ids, types = ([row for part in parts for row in getattr(part, kind)] for kind in ("ids", "types"))
    return replace(parts[0], ids=ids, types=types, labels=[])
