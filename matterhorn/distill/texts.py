"""Training texts of several tasks without their labels: what a teacher says of them is lesson enough."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from .data import Examples, Tokens, load_examples, tokenize
from .recipe import Distilling
from .tasks import get_task


def load_texts(
    recipe: Distilling, tokenizer: PreTrainedTokenizerBase, glue_dir: Path | None, *, alone: bool = False
) -> list[Tokens]:
    """Rows of each of the recipe's ``texts``, drawn with its seed; no labels.

    Args:
        alone: for a task with single sentences: the two of a pair are rows of their own.
    """
    parts = []
    for name in recipe.texts:
        task = get_task(name)
        rows = load_examples(task, "train", glue_dir).texts
        if alone:
            rows = list(dict.fromkeys((sentence,) for row in rows for sentence in row))
        drawn = random.Random(recipe.seed).sample(range(len(rows)), min(recipe.texts_each, len(rows)))
        unlabelled = Examples([rows[i] for i in drawn], [])
        parts.append(tokenize(unlabelled, tokenizer, task, recipe.max_length))
    return parts


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


def texts_of(rows: Tokens, tokenizer: PreTrainedTokenizerBase) -> list[tuple[str, ...]]:
    """Rows as text again, a string for each sentence, as far as the tokenizer can tell."""
    frame = set(tokenizer.all_special_ids)
    texts = []
    for ids, types in zip(rows.ids, rows.types, strict=True):
        sentences = [[token for token, own in zip(ids, types, strict=True) if own == kind] for kind in sorted({*types})]
        words = [[token for token in sentence if token not in frame] for sentence in sentences]
        texts.append(tuple(tokenizer.batch_decode(words)))
    return texts
