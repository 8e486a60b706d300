"""Training texts of several tasks without their labels: what a teacher says of them is enough to learn from."""

from __future__ import annotations

import random
from collections.abc import Set
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer

from ..errors import InputError
from ..tasks.rows import Examples, load_examples
from ..tasks.sources import Use, cross, load_source
from ..tasks.task import Task, get_task
from ..tasks.tokens import Tokens, tokenize
from .augment import edit, recombine, rematch, reword
from .recipe import Recipe
from .teacher import embedding_table


def distillation_rows(
    recipe: Recipe, rows: Tokens, tokenizer: Tokenizer, glue_dir: Path | None, *, kept: Set[str] = frozenset()
) -> Tokens:
    """What the student of a task learns on: the task's rows, texts of other tasks, rows made of its own, and all of
    them in other words.

    Args:
        kept: sentences that it is judged by: no text with one of them is read. (Some pairs of MRPC are STS-B's.)
    """
    assert recipe.task is not None
    more = load_texts(recipe, tokenizer, glue_dir, alone=len(get_task(recipe.task).text) == 1, kept=kept)
    if recipe.recombined:
        more.append(recombine(rows, recipe.recombined, recipe.seed))
    if recipe.edited:
        more.append(edit(rows, special_tokens(tokenizer), recipe.edited, recipe.seed, recipe.max_length))
    if recipe.rematched:
        more.append(rematch(rows, embedding_table(recipe.backbone), recipe.rematched, recipe.seed))
    given = join([rows, *more]) if more else rows
    if not recipe.reworded:
        return given
    table, words = embedding_table(recipe.backbone), vocabulary(tokenizer)
    return join([given, reword(given, table, words, recipe.reworded, recipe.seed)])


def judged_by(task: Task, chosen: Examples, glue_dir: Path | None) -> set[str]:
    """Sentences of the rows held out and of the development set: none is learned from."""
    rows = chosen.texts + load_examples(task, "dev", glue_dir).texts
    return {sentence for row in rows for sentence in row}


def load_texts(
    recipe: Recipe,
    tokenizer: Tokenizer,
    glue_dir: Path | None,
    *,
    alone: bool = False,
    kept: Set[str] = frozenset(),
) -> list[Tokens]:
    """Rows of each of the recipe's ``texts`` and ``sources``, drawn with its seed; no labels.

    Args:
        alone: for a task with single sentences: the two of a pair are rows of their own.
        kept: sentences that no row may have.
    """
    parts = []
    for name in recipe.texts:
        task = get_task(name)
        rows = load_examples(task, "train", glue_dir).texts
        if alone:
            rows = list(dict.fromkeys((sentence,) for row in rows for sentence in row))
        rows = [row for row in rows if kept.isdisjoint(row)]
        drawn = random.Random(recipe.seed).sample(range(len(rows)), min(recipe.texts_each, len(rows)))
        unlabelled = Examples([rows[i] for i in drawn], [])
        parts.append(tokenize(unlabelled, tokenizer, task, recipe.max_length))
    own = get_task(recipe.task or recipe.texts[0] if recipe.texts else "sst2")
    for use in recipe.sources:
        texts = Examples([row for row in source_rows(use, recipe, alone=alone) if kept.isdisjoint(row)], [])
        parts.append(tokenize(texts, tokenizer, own, recipe.max_length))
    return parts


def source_rows(use: Use, recipe: Recipe, *, alone: bool) -> list[tuple[str, ...]]:
    """Rows of a source, drawn with the recipe's seed, and pairs made of it; ``alone`` as in :func:`load_texts`.

    Raises:
        InputError: it has single sentences, and the task compares two.
    """
    rows = load_source(use)
    drawn = random.Random(recipe.seed).sample(rows, min(use.rows or len(rows), len(rows)))
    drawn += cross(rows, use.crossed, recipe.seed)
    if alone:
        return list(dict.fromkeys((sentence,) for row in drawn for sentence in row))
    if recipe.task is not None and any(len(row) < 2 for row in drawn):
        cure = f"leave it out: {recipe.task} compares two"
        raise InputError("single sentences", field=f"sources.{use.name}", cure=cure)
    return drawn


def general_rows(recipe: Recipe, tokenizer: Tokenizer, glue_dir: Path | None) -> tuple[Tokens, Tokens]:
    """Texts of the recipe's tasks, mixed, and the rows held out of them to choose by; no labels."""
    rows = join(load_texts(recipe, tokenizer, glue_dir))
    order = random.Random(recipe.seed).sample(range(len(rows)), len(rows))
    held = min(recipe.selection_rows, len(rows) // 5)
    chosen = {tuple(rows.ids[i]) for i in order[:held]}
    return rows.subset([i for i in order[held:] if tuple(rows.ids[i]) not in chosen]), rows.subset(order[:held])


def special_tokens(tokenizer: Tokenizer) -> set[int]:
    """Numbers of the tokens that are no text: those around a row, between its sentences, and kept free."""
    return {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}


def vocabulary(tokenizer: Tokenizer) -> list[int]:
    """All words and pieces of words in ASCII that a tokenizer knows, none of them special; a mark of a word's beginning
    (Ġ of byte pairs, ▁ of SentencePiece) is no part of it."""
    frame, known = special_tokens(tokenizer), tokenizer.get_vocab().items()
    words = ((word.lstrip("Ġ▁"), number) for word, number in known if number not in frame)
    return sorted(number for word, number in words if word and word.isascii() and word[0] != "[")


def join(parts: list[Tokens]) -> Tokens:
    """All rows in one, without labels."""
    ids, types = ([row for part in parts for row in getattr(part, kind)] for kind in ("ids", "types"))
    return replace(parts[0], ids=ids, types=types, labels=[], typed=all(part.typed for part in parts))
