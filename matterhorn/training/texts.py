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

NEIGHBOURS, REPLACED = 12, 0.3
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


def reword(rows: Tokens, table: Tensor, words: list[int], count: int, seed: int) -> Tokens:
    """New rows: given ones, long ones more often, with about a third of their words replaced by others of like meaning
    (as TinyBERT augments its data, arXiv 1909.10351). No labels: the teacher says what has become of them.

    A word that occurs twice in a row is replaced alike, so that two sentences go on sharing what they share.

    Args:
        table: embeddings of all tokens, ``[vocabulary, width]``.
        words: tokens that may be replaced and put in: those of the rows only, or a whole vocabulary, so that the
            student meets words that no training row has. Alike are the :data:`NEIGHBOURS` of largest cosine.
    """
    others = neighbours(rows, table, words)
    draw = random.Random(seed)
    chosen = draw.choices(range(len(rows)), weights=[len(row) for row in rows.ids], k=count)
    ids = []
    for i in chosen:
        own = sorted(set(rows.ids[i]) & others.keys())
        said = {word: draw.choice(others[word]) for word in own if draw.random() < REPLACED}
        ids.append([said.get(token, token) for token in rows.ids[i]])
    return replace(rows, ids=ids, types=[rows.types[i] for i in chosen], labels=[])


def neighbours(rows: Tokens, table: Tensor, words: list[int]) -> dict[int, list[int]]:
    """For each of the words that occurs in the rows, those most like it, nearest first."""
    present = sorted({token for row in rows.ids for token in row} & set(words))
    all_words = F.normalize(table[torch.tensor(words)].float(), dim=-1)
    number = min(NEIGHBOURS, len(words) - 1)
    others: dict[int, list[int]] = {}
    for start in range(0, len(present), 1024):
        some = present[start : start + 1024]
        alike = (F.normalize(table[torch.tensor(some)].float(), dim=-1) @ all_words.T).topk(number + 1).indices
        for word, places in zip(some, alike.tolist(), strict=True):
            others[word] = [words[place] for place in places if words[place] != word][:number]
    return others


def vocabulary(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """All words and pieces of words in ASCII that a tokenizer knows: none that frames a row, parts sentences or is
    kept free."""
    frame = set(tokenizer.all_special_ids)
    known = tokenizer.get_vocab().items()
    return sorted(number for word, number in known if word.isascii() and word[0] != "[" and number not in frame)


def join(parts: list[Tokens]) -> Tokens:
    """All rows in one, without labels."""
    ids, types = ([row for part in parts for row in getattr(part, kind)] for kind in ("ids", "types"))
    return replace(parts[0], ids=ids, types=types, labels=[])
