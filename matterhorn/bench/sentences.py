"""Real text to measure on: the sentences that come with the package, alone or strung together."""

from __future__ import annotations

import csv
from importlib import resources
from itertools import cycle
from pathlib import Path

import torch

from ..engines.answer import load_tokenizer
from .networks import Batch


def sample() -> list[str]:
    """The shipped sentences."""
    text = resources.files("matterhorn").joinpath("samples", "sst2.tsv").read_text(encoding="utf-8")
    return [row["sentence"] for row in csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)]


def batch_of(folder: Path, texts: list[str]) -> Batch:
    """Texts as a padded batch, shortest first."""
    tokenizer = load_tokenizer(folder)
    return _padded(sorted((tokenizer.encode(text).ids for text in texts), key=len))


def sentences_of_length(folder: Path, rows: int, length: int) -> Batch:
    """Sample sentences strung together until they have ``length`` tokens, cut there."""
    tokenizer, texts = load_tokenizer(folder), cycle(sample())
    ids = []
    for _ in range(rows):
        text = next(texts)
        while len(coded := tokenizer.encode(text).ids) < length:
            text = f"{text} {next(texts)}"
        ids.append([*coded[: length - 1], coded[-1]])
    return _padded(ids)


def _padded(ids: list[list[int]]) -> Batch:
    longest = max(map(len, ids))
    tokens = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
    present = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
    return {"input_ids": tokens, "token_type_ids": torch.zeros_like(tokens), "attention_mask": present}
