"""Endless inputs without repetition: batches of text, and slots with a given silent share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..coding import SILENT
from ..program import Program
from ..program.samples import sample
from ..program.text import Encoded, pad

LENGTHS = {
    "sentences": (10, 14, 17, 20, 23, 26, 29, 32, 37, 44),
    "pairs": (29, 36, 41, 46, 50, 56, 64, 79, 115, 157),
    "128 tokens": (128,),
    "512 tokens": (512,),
}
"""Numbers of tokens of a row, by kind of rows. Sentences are as in SST-2 and pairs as in RTE: the 5th, 15th, …, 95th
percentile of their development rows."""


MIXED = "mixed "
"""Prefix for kinds of rows whose batches contain all lengths, so that other implementations must pad. Without it,
batches are cut from rows that are sorted by length, as is usual where speed matters."""


def lengths_of(kind: str, rows: int) -> list[int]:
    """Return the lengths of a batch of a kind of rows. Those of sorted rows lie within the middle tenth of lengths."""
    if kind.startswith(MIXED):
        return spread(LENGTHS[kind.removeprefix(MIXED)], rows)
    own = LENGTHS[kind]
    middle = own[(len(own) - 1) // 2 : len(own) // 2 + 1]
    return spread(range(middle[0], middle[-1] + 1), rows)


def spread(lengths: Sequence[int], rows: int) -> list[int]:
    """Choose ``rows`` lengths, spread evenly over the given ones, shortest first. A single one is the middle length."""
    return [lengths[(2 * i + 1) * len(lengths) // (2 * rows)] for i in range(rows)]


class Texts:
    """Rows of any length without repetition: the sample's sentences, joined in random order and cut.

    Args:
        program: program whose tokenizer is used.
        draw: random generator for the order.
    """

    def __init__(self, program: Program, draw: np.random.Generator):
        most, self.filler = program.config.max_position_embeddings, program.config.pad_token_id
        coded = [program.encode(text, max_length=most)["input_ids"][0].tolist() for text in sample()[0]]
        self.first, self.last = coded[0][0], coded[0][-1]
        self.sentences = [row[1:-1] for row in coded]
        self.draw, self.seen = draw, set[tuple[int, ...]]()

    def batches(self, lengths: Sequence[int]) -> Iterator[Encoded]:
        """Yield batches with one row of each length, without end."""
        while True:
            rows = [self._row(length) for length in lengths]
            yield pad(rows, [[0] * length for length in lengths], self.filler)

    def _row(self, length: int) -> tuple[int, ...]:
        words: list[int] = []
        while len(words) < length:
            words += [word for i in self.draw.permutation(len(self.sentences)) for word in self.sentences[i]]
            words = words[int(self.draw.integers(len(self.sentences[0]))) :]
        row = (self.first, *words[: length - 2], self.last)
        if row in self.seen:
            return self._row(length)
        self.seen.add(row)
        return row


def spikes(draw: np.random.Generator, rows: int, neurons: int, silent_share: float) -> Iterator[NDArray[np.uint8]]:
    """Yield slots uint8 ``[rows, neurons]`` without end: silence, or levels 4 to 6 away from the silent level 8."""
    while True:
        side = 2 * draw.integers(0, 2, (rows, neurons), np.int8) - 1
        slots = 7 - side * draw.integers(4, 7, (rows, neurons), np.int8)
        yield np.where(draw.random((rows, neurons), np.float32) < silent_share, SILENT, slots).astype(np.uint8)
