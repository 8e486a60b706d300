"""Training texts without labels, of several tasks and public sources. Students learn the teacher's outputs for them."""

from __future__ import annotations

import random
from collections.abc import Set
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer

from ..errors import InputError
from ..tasks.rows import Examples, hold_out, load_examples
from ..tasks.sources import Use, cross, load_source
from ..tasks.task import Task, get_task
from ..tasks.tokens import Tokens, tokenize
from .augment import edit, recombine, rematch, reword
from .recipe import Recipe
from .teacher import embedding_table

LEFT_OUT = 1000
"""Number of training rows of another task that its own recipe may hold out, so that no other recipe learns from them.

Rows are held out in an order that only the seed decides, so these include those of a recipe with the same seed that
holds out fewer.
"""


def distillation_rows(
    recipe: Recipe,
    rows: Tokens,
    tokenizer: Tokenizer,
    glue_dir: Path | None,
    *,
    excluded: Set[str] = frozenset(),
    excluded_rows: Set[tuple[int, ...]] = frozenset(),
) -> Tokens:
    """Return what the student of a task learns on: the task's rows, texts of other tasks, and rows made from them.

    Args:
        rows: the task's own training rows.
        tokenizer: the backbone's tokenizer.
        excluded: sentences that are used in evaluations. No text with one of them is used. (Some pairs of MRPC are also
            in STS-B.)
        excluded_rows: token numbers of rows that are used in evaluations. No row that is made may be equal to one.
            (Rematching STS-B's sentences restores some of its pairs.)
    """
    assert recipe.task is not None
    more = load_texts(recipe, tokenizer, glue_dir, alone=len(get_task(recipe.task).text) == 1, excluded=excluded)
    if recipe.recombined:
        more.append(recombine(rows, recipe.recombined, recipe.seed))
    if recipe.edited:
        more.append(edit(rows, special_tokens(tokenizer), recipe.edited, recipe.seed, recipe.max_length))
    if recipe.rematched:
        more.append(rematch(rows, embedding_table(recipe.backbone), recipe.rematched, recipe.seed))
    given = join([rows, *(without_rows(part, excluded_rows) for part in more)]) if more else rows
    if not recipe.reworded:
        return given
    table, words = embedding_table(recipe.backbone), vocabulary(tokenizer)
    return join([given, without_rows(reword(given, table, words, recipe.reworded, recipe.seed), excluded_rows)])


def without_rows(rows: Tokens, excluded_rows: Set[tuple[int, ...]]) -> Tokens:
    """Return the rows whose token numbers are not excluded."""
    return rows.subset([i for i, ids in enumerate(rows.ids) if tuple(ids) not in excluded_rows])


def judging_tasks(recipe: Recipe) -> list[str]:
    """Return the tasks whose dev rows decide which rows a recipe learns from."""
    others = recipe.texts or recipe.sources
    made = recipe.reworded or recipe.recombined or recipe.edited or recipe.rematched
    return [*([recipe.task] if recipe.task and (others or made) else []), *recipe.texts]


def evaluation_sentences(task: Task, chosen: Examples, glue_dir: Path | None) -> set[str]:
    """Return the sentences of the held-out rows ``chosen`` and of the development set."""
    rows = chosen.texts + load_examples(task, "dev", glue_dir).texts
    return {sentence for row in rows for sentence in row}


def load_texts(
    recipe: Recipe,
    tokenizer: Tokenizer,
    glue_dir: Path | None,
    *,
    alone: bool = False,
    excluded: Set[str] = frozenset(),
) -> list[Tokens]:
    """Load rows of each of the recipe's ``texts`` and ``sources`` without labels, drawn with its seed.

    No row has a sentence by which a network of one of the ``texts`` is judged that starts from the recipe's result: of
    the first :data:`LEFT_OUT` rows that this task holds out with the same seed, or of its dev rows.

    Args:
        alone: whether the two texts of a pair become separate rows, for a task with single sentences.
        excluded: more sentences that no row may contain.
    """
    parts, given = [], dict[str, list[tuple[str, ...]]]()
    for name in recipe.texts:
        task = get_task(name)
        examples = load_examples(task, "train", glue_dir)
        own, held = hold_out(examples, LEFT_OUT, recipe.seed, fragments=task.fragments)
        given[name] = own.texts
        excluded = excluded | evaluation_sentences(task, held, glue_dir)
    for name, rows in given.items():
        task = get_task(name)
        if alone:
            rows = list(dict.fromkeys((sentence,) for row in rows for sentence in row))
        rows = [row for row in rows if excluded.isdisjoint(row)]
        drawn = random.Random(recipe.seed).sample(range(len(rows)), min(recipe.texts_each, len(rows)))
        unlabeled = Examples([rows[i] for i in drawn], [])
        parts.append(tokenize(unlabeled, tokenizer, task, recipe.max_length))
    task = get_task(recipe.task or next(iter(recipe.texts), "sst2"))  # without labels, any task will do
    for use in recipe.sources:
        unlabeled = Examples([row for row in source_rows(use, recipe, alone=alone) if excluded.isdisjoint(row)], [])
        parts.append(tokenize(unlabeled, tokenizer, task, recipe.max_length))
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
