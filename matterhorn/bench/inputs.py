"""Endless inputs without repetition: batches of text, and slots at a given silence."""

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
"""Tokens of a row. Of sentences as in SST-2 and of pairs as in RTE: from the 5th to the 95th percentile of its
development rows, in tenths."""


MIXED = "mixed "
"""Before a kind of rows whose batches hold all its lengths, so that others pad; else they come from rows sorted by
length, as those who care batch them."""


def lengths_of(kind: str, rows: int) -> list[int]:
    """Lengths of a batch of a kind of rows; those of sorted ones lie within the middle tenth."""
    if kind.startswith(MIXED):
        return spread(LENGTHS[kind.removeprefix(MIXED)], rows)
    own = LENGTHS[kind]
    middle = own[(len(own) - 1) // 2 : len(own) // 2 + 1]
    return spread(range(middle[0], middle[-1] + 1), rows)


def spread(lengths: Sequence[int], rows: int) -> list[int]:
    """``rows`` lengths spread evenly over the given ones, shortest first; one alone is of middle length."""
    return [lengths[(2 * i + 1) * len(lengths) // (2 * rows)] for i in range(rows)]


class Texts:
    """The sample's sentences, strung together in changing order and cut: rows of any length, none twice."""

    def __init__(self, program: Program, draw: np.random.Generator):
        most, self.filler = program.config.max_position_embeddings, program.config.pad_token_id
        coded = [program.encode(text, max_length=most)["input_ids"][0].tolist() for text in sample()[0]]
        self.first, self.last = coded[0][0], coded[0][-1]
        self.sentences = [row[1:-1] for row in coded]
        self.draw, self.seen = draw, set[tuple[int, ...]]()

    def batches(self, lengths: Sequence[int]) -> Iterator[Encoded]:
        """Batches with a row of each length."""
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
    """Slots ``[rows, neurons]`` of levels four to six away from the silent level 8, where they are not silent."""
    while True:
        side = 2 * draw.integers(0, 2, (rows, neurons), np.int8) - 1
        slots = 7 - side * draw.integers(4, 7, (rows, neurons), np.int8)
        yield np.where(draw.random((rows, neurons), np.float32) < silent_share, SILENT, slots).astype(np.uint8)
