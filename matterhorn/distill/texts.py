"""Training texts of several tasks without labels. The teacher's outputs for them are enough to learn from."""

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
    recipe: Recipe,
    rows: Tokens,
    tokenizer: Tokenizer,
    glue_dir: Path | None,
    *,
    kept: Set[str] = frozenset(),
    judging: Set[tuple[int, ...]] = frozenset(),
) -> Tokens:
    """Return what the student of a task learns on: the task's rows, texts of other tasks, and rows made from them.

    Args:
        kept: sentences that are used to evaluate it. No text that contains one is used. (Some pairs of MRPC are also in
            STS-B.)
        judging: token numbers of the rows that are used to evaluate it, which no row that is made may have. (Rematching
            STS-B's sentences restores some of its pairs.)
    """
    assert recipe.task is not None
    more = load_texts(recipe, tokenizer, glue_dir, alone=len(get_task(recipe.task).text) == 1, kept=kept)
    if recipe.recombined:
        more.append(recombine(rows, recipe.recombined, recipe.seed))
    if recipe.edited:
        more.append(edit(rows, special_tokens(tokenizer), recipe.edited, recipe.seed, recipe.max_length))
    if recipe.rematched:
        more.append(rematch(rows, embedding_table(recipe.backbone), recipe.rematched, recipe.seed))
    given = join([rows, *(unlike(part, judging) for part in more)]) if more else rows
    if not recipe.reworded:
        return given
    table, words = embedding_table(recipe.backbone), vocabulary(tokenizer)
    return join([given, unlike(reword(given, table, words, recipe.reworded, recipe.seed), judging)])


def unlike(rows: Tokens, judging: Set[tuple[int, ...]]) -> Tokens:
    """Return the rows whose token numbers are not among those given."""
    return rows.subset([i for i, ids in enumerate(rows.ids) if tuple(ids) not in judging])


def judged_by(task: Task, chosen: Examples, glue_dir: Path | None) -> set[str]:
    """Return sentences of the held-out rows and of the development set, none of which may be learned."""
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
    """Load rows of each of the recipe's ``texts`` and ``sources`` without labels, drawn with its seed.

    Args:
        alone: whether the two texts of a pair become separate rows, for a task with single sentences.
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
    """Return rows of a source, drawn with the recipe's seed, and pairs made from it. ``alone`` as in
    :func:`load_texts`.

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
    """Return mixed texts of the recipe's tasks, and held-out rows to select by, without labels."""
    rows = join(load_texts(recipe, tokenizer, glue_dir))
    order = random.Random(recipe.seed).sample(range(len(rows)), len(rows))
    held = min(recipe.selection_rows, len(rows) // 5)
    chosen = {tuple(rows.ids[i]) for i in order[:held]}
    return rows.subset([i for i in order[held:] if tuple(rows.ids[i]) not in chosen]), rows.subset(order[:held])


def special_tokens(tokenizer: Tokenizer) -> set[int]:
    """Numbers of the tokens that are not text: those around a row, those between its sentences, and reserved ones."""
    return {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}


def vocabulary(tokenizer: Tokenizer) -> list[int]:
    """Return all words and word pieces in ASCII that a tokenizer knows, except special tokens.

    A mark of a word's beginning (Ġ of byte pairs, ▁ of SentencePiece) is ignored.
    """
    frame, known = special_tokens(tokenizer), tokenizer.get_vocab().items()
    words = ((word.lstrip("Ġ▁"), number) for word, number in known if number not in frame)
    return sorted(number for word, number in words if word and word.isascii() and word[0] != "[")


def join(parts: list[Tokens]) -> Tokens:
    """Join all rows, without labels."""
    ids, types = ([row for part in parts for row in getattr(part, kind)] for kind in ("ids", "types"))
    return replace(parts[0], ids=ids, types=types, labels=[], typed=all(part.typed for part in parts))
