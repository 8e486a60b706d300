"""Rows as token numbers, and batches of them. All arrays are NumPy arrays."""

from __future__ import annotations

import hashlib
import json
import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from ..errors import InputError
from ..program import Program
from ..program.text import Encoded, Text, encodings, pad, reader
from .rows import Examples
from .tables import Progress
from .task import Task

PADDED_LENGTHS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 128, 192, 256, 384, 512)
"""Lengths to which :func:`even_batches` pads rows."""

TOGETHER = 1024
"""Number of rows that are tokenized together."""

PADS = ("[PAD]", "<pad>")
"""Tokens used for padding. A tokenizer knows one of them or none."""


@dataclass(frozen=True)
class Tokens:
    """Tokenized rows.

    Attributes:
        ids: token numbers of each row.
        types: the sentence each token belongs to, 0 or 1, in lists of the same lengths.
        labels: as in :class:`~matterhorn.tasks.rows.Examples`.
        pad: number of the padding token.
        typed: whether networks are given the types as ``token_type_ids``. Tokenizers like RoBERTa's and MPNet's do
            not mark sentences; then networks are given zeros.
        is_regression: whether labels are scores.
        cut: number of rows that were truncated.
    """

    ids: list[list[int]]
    types: list[list[int]]
    labels: list[Any]
    pad: int = 0
    is_regression: bool = False
    typed: bool = True
    cut: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def hash(self) -> str:
        """SHA-256 of the rows and their labels."""
        return hashlib.sha256(json.dumps([self.ids, self.types, self.labels]).encode()).hexdigest()

    def subset(self, rows: list[int]) -> Tokens:
        """Return the rows with these numbers, in this order."""
        ids, types = ([own[i] for i in rows] for own in (self.ids, self.types))
        return replace(self, ids=ids, types=types, labels=[self.labels[i] for i in rows] if self.labels else [])

    def check_length(self, most: int) -> None:
        """Check that no row has more tokens than a network reads.

        Raises:
            InputError: one has.
        """
        longest = max(map(len, self.ids), default=0)
        if longest > most:
            problem = f"a row of {longest} tokens, where at most {most} can be read"
            raise InputError(problem, field="max_length", cure=f"give at most {most}")

    def encoded(self, rows: list[int], length: int | None = None) -> Encoded:
        """Return some rows as padded int64 arrays ``input_ids``, ``attention_mask`` and ``token_type_ids``, ``[n,
        L]``.

        L is ``length``, or that of the longest row.
        """
        types = [self.types[i] if self.typed else [0] * len(self.ids[i]) for i in rows]
        return pad([self.ids[i] for i in rows], types, self.pad, length)

    def batch(self, rows: list[int], length: int | None = None) -> dict[str, NDArray[Any]]:
        """Return some rows as :meth:`encoded` does, with their ``labels`` if there are any.

        Labels are int64 classes ``[n]``, float32 scores ``[n]``, or float32 ``[n, outputs]`` for several scores or
        labels.
        """
        batch: dict[str, NDArray[Any]] = {**self.encoded(rows, length)}  # type: ignore[dict-item]
        if self.labels:
            labels = np.array([self.labels[i] for i in rows])
            batch["labels"] = labels.astype(np.float32 if self.is_regression or labels.ndim > 1 else np.int64)
        return batch


def tokenize(
    examples: Examples, tokenizer: Tokenizer, task: Task, max_length: int, *, progress: Progress = iter
) -> Tokens:
    """Tokenize rows and truncate them to ``max_length`` tokens. In a pair, the longer sentence is shortened first.

    ``progress`` wraps parts of :data:`TOGETHER` rows.
    """
    own = reader(tokenizer, max_length, pairs=any(len(row) == 2 for row in examples.texts))
    rows: list[Text] = [row[0] if len(row) == 1 else (row[0], row[1]) for row in examples.texts]
    parts = progress([rows[start : start + TOGETHER] for start in range(0, len(rows), TOGETHER)])
    coded = [one for part in parts for one in encodings(own, part)]
    ids, types = [row.ids for row in coded], [row.type_ids for row in coded]
    pairs = [len(texts) == 2 for texts in examples.texts]
    typed = any(map(any, types)) or not any(pairs)
    if not typed:
        types = [_sentences(row) if pair else row.type_ids for row, pair in zip(coded, pairs, strict=True)]
    pad = next((number for number in map(own.token_to_id, PADS) if number is not None), 0)
    cut = sum(bool(row.overflowing) for row in coded)
    return Tokens(ids, types, examples.labels, pad, task.is_regression, typed, cut)


def _sentences(pair: Encoding) -> list[int]:
    """Return the sentence that each token of a pair belongs to, 0 or 1.

    Separators before the second sentence belong to the first. If the second sentence is empty, the last token does not.
    """
    size = len(pair.ids)
    second = pair.sequence_ids.index(1) if 1 in pair.sequence_ids else size - 1
    return [0] * second + [1] * (size - second)


def tokens_for(
    program: Program, examples: Examples, max_length: int, *, task: Task, progress: Progress = iter
) -> Tokens:
    """Tokenize rows for a program, as :func:`tokenize` does.

    Raises:
        InputError: the program has no tokenizer, or a row is longer than it reads.
    """
    if program.tokenizer is None:
        raise InputError("no tokenizer", file=program.path, cure="give a program that was saved with its tokenizer")
    tokens = tokenize(examples, program.tokenizer, task, max_length, progress=progress)
    tokens.check_length(program.config.max_position_embeddings)
    return replace(tokens, pad=program.config.pad_token_id)


def sorted_batches(tokens: Tokens, batch_size: int) -> list[list[int]]:
    """Divide rows into batches of similar length, shortest first. For evaluation; the result is the same on every
    machine.
    """
    order = sorted(range(len(tokens)), key=lambda i: (len(tokens.ids[i]), i))
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def shuffled_batches(tokens: Tokens, batch_size: int, seed: int, pool: int = 50) -> Iterator[list[int]]:
    """One epoch of batches of similar length in random order. Rows are sorted within random pools of 50 batches."""
    draw = random.Random(seed)
    order = list(range(len(tokens)))
    draw.shuffle(order)
    batches = []
    for start in range(0, len(order), pool * batch_size):
        rows = sorted(order[start : start + pool * batch_size], key=lambda i: len(tokens.ids[i]))
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    draw.shuffle(batches)
    yield from batches


def even_batches(tokens: Tokens, most: int, seed: int) -> list[tuple[list[int], int]]:
    """One epoch of batches of few shapes in random order, as pairs of rows and the length to which they are padded.

    Lengths are of :data:`PADDED_LENGTHS`; no row may be longer than the last. All batches of a length have the same
    number of rows, ``most`` tokens in total. Rows that do not fill a batch join those of the next length. The last
    batch is filled with rows that are drawn again.
    """
    draw = random.Random(seed)
    order = list(range(len(tokens)))
    draw.shuffle(order)
    by_length: dict[int, list[int]] = defaultdict(list)
    for row in order:
        by_length[PADDED_LENGTHS[bisect_left(PADDED_LENGTHS, len(tokens.ids[row]))]].append(row)
    batches, left = [], list[int]()
    for length in sorted(by_length):
        rows, size = left + by_length[length], max(1, most // length)
        if length == max(by_length):
            rows += draw.choices(order, k=-len(rows) % size)
        whole = len(rows) // size * size
        batches += [(rows[i : i + size], length) for i in range(0, whole, size)]
        left = rows[whole:]
    draw.shuffle(batches)
    return batches
