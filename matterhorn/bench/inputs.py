"""Real text to measure on: the sentences that come with the package, alone or strung together."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources
from pathlib import Path

import torch
from tokenizers import Tokenizer

from ..engines.answer import load_tokenizer
from .networks import Batch


def sample() -> list[str]:
    """The shipped sentences."""
    text = resources.files("matterhorn").joinpath("samples", "sst2.tsv").read_text(encoding="utf-8")
    return [row["sentence"] for row in csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)]


@cache
def _tokenizer(folder: Path) -> Tokenizer:
    return load_tokenizer(folder)


def batch_of(folder: Path, texts: list[str]) -> Batch:
    """Texts as a padded batch, shortest first."""
    tokenizer = _tokenizer(folder)
    return _padded(sorted((tokenizer.encode(text).ids for text in texts), key=len))


PAIRS = (31, 38, 44, 48, 52, 57, 63, 71, 88, 132)
"""Tokens of pairs about as long as RTE's, in which two thirds have 40 … 80 and a few more than 100."""


def pairs(folder: Path, rows: int) -> Batch:
    """Sample sentences strung together to :data:`PAIRS`' lengths, shortest first; a single one is of middle length."""
    lengths = [PAIRS[i % len(PAIRS)] for i in range(rows)] if rows > 1 else [PAIRS[len(PAIRS) // 2]]
    return _padded(sorted((_cut(folder, i, length) for i, length in enumerate(lengths)), key=len))


def sentences_of_length(folder: Path, rows: int, length: int) -> Batch:
    """Sample sentences strung together until they have ``length`` tokens, cut there."""
    return _padded([_cut(folder, i, length) for i in range(rows)])


def _cut(folder: Path, first: int, length: int) -> list[int]:
    """``length`` tokens of the sample from one of its sentences on."""
    tokenizer, texts = _tokenizer(folder), sample()
    text = texts[first % len(texts)]
    while len(coded := tokenizer.encode(text).ids) < length:
        first += 1
        text = f"{text} {texts[first % len(texts)]}"
    return [*coded[: length - 1], coded[-1]]


def _padded(ids: list[list[int]]) -> Batch:
    longest = max(map(len, ids))
    tokens = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
    present = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
    return {"input_ids": tokens, "token_type_ids": torch.zeros_like(tokens), "attention_mask": present}
