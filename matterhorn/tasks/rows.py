"""Reading GLUE rows, from a folder of TSV files or from the hub, and making batches of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from ..errors import InputError
from ..models.checkpoint import tokenizer_file
from .tasks import Task


@dataclass(frozen=True)
class Examples:
    """Rows of a task: ``texts`` (one or two strings each) and ``labels`` (class numbers, or scores; empty for test)."""

    texts: list[tuple[str, ...]]
    labels: list[float]

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, rows: list[int]) -> Examples:
        """The named rows, in that order."""
        return Examples([self.texts[i] for i in rows], [self.labels[i] for i in rows])


def load_examples(task: Task, split: str, glue_dir: Path | None = None) -> Examples:
    """Rows of one split (``train``, ``dev``, …), from ``glue_dir`` if given, else from the hub through ``datasets``."""
    if glue_dir is None:
        return _from_hub(task, split)
    if split not in task.files:
        raise InputError(f"{task.name} has no split {split!r}", field="split", cure=f"choose one of {list(task.files)}")
    return read_tsv(task, Path(glue_dir) / task.folder / task.files[split], labelled=not split.startswith("test"))


def read_tsv(task: Task, path: Path, *, labelled: bool = True) -> Examples:
    """Read one GLUE file; errors name the file and the row (counted from 1, the header included).

    Rows to predict (not ``labelled``) may be empty, as some of QQP's are.
    """
    if not path.is_file():
        raise InputError("no such file", file=path, cure="give --glue-dir the folder that holds SST-2/, MRPC/ …")
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    first = lines[0].rstrip("\r").split("\t")
    has_header = all(column in first for column in task.text)
    header = first if has_header else task.header
    needed = [*task.text, task.label] if labelled else task.text
    missing = [column for column in needed if header is None or column not in header]
    if header is None or missing:
        raise InputError(f"columns {first}", file=path, field=", ".join(missing), cure="give the official GLUE columns")
    texts, labels = [], []
    for number, line in enumerate(lines[1:] if has_header else lines, start=2 if has_header else 1):
        if not line.strip():
            continue
        fields = dict(zip(header, line.rstrip("\r").split("\t"), strict=False))
        place = f"row {number}"
        if any(column not in fields for column in needed):
            raise InputError(f"{len(fields)} of {len(header)} columns", file=path, field=place, cure="mend the row")
        texts.append(tuple(_unquote(fields[column], task.quotes).strip() for column in task.text))
        if labelled and not all(texts[-1]):
            raise InputError("empty text", file=path, field=place, cure="fill in the sentence or drop the row")
        if labelled:
            labels.append(_label(task, fields[task.label].strip(), path, place))
    if not texts:
        raise InputError("no rows", file=path, cure="give a file with at least one row below the header")
    return Examples(texts, labels)


def _unquote(text: str, quotes: str) -> str:
    if quotes == "doubled" and len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"')
    return text


def _label(task: Task, text: str, path: Path, place: str) -> float:
    if task.range is None:
        if text not in task.classes:
            raise InputError(f"label {text!r}", file=path, field=place, cure=f"use one of {task.classes}")
        return task.classes.index(text)
    try:
        score = float(text)
    except ValueError:
        score = float("nan")
    if not task.range[0] <= score <= task.range[1]:
        raise InputError(f"score {text!r}", file=path, field=place, cure=f"use a number in {list(task.range)}")
    return score


def _from_hub(task: Task, split: str) -> Examples:
    import datasets

    name = task.hub_splits.get(split, {"dev": "validation"}.get(split, split))
    try:
        rows = datasets.load_dataset("nyu-mll/glue", task.hub, split=name)
    except Exception as error:
        cure = "give --glue-dir, or go online"
        raise InputError(f"cannot load GLUE {task.hub}/{name} from the hub: {error}", cure=cure) from error
    columns = task.hub_text or task.text
    texts = [tuple(str(row[column]).strip() for column in columns) for row in rows]
    return Examples(texts, [] if split.startswith("test") else [row["label"] for row in rows])


def hold_out(examples: Examples, rows: int, seed: int, *, fragments: bool = False) -> tuple[Examples, Examples]:
    """Split training rows into (train, selection): at most a fifth of them is kept to choose models by.

    ``fragments``: rows are pieces of common sentences (SST-2). Then whole sentences are held out, and every longer
    piece of them, or of what they are a piece of, is dropped, so that the selection rows are as unseen as dev rows.
    """
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)
    rows = min(rows, len(examples) // 5)
    if not fragments:
        return examples.subset(order[rows:]), examples.subset(order[:rows])
    text = [row[0] for row in examples.texts]
    kept = [i for i in order if len(text[i].split()) >= WHOLE_SENTENCE][:rows]
    if not kept:
        cure = f"give rows of {WHOLE_SENTENCE} words or more"
        raise InputError("no whole sentences to choose models by", field="train", cure=cure)
    sentences = [text[i] for i in kept]
    everything = "\n".join(sentences)
    held = set(kept)
    rest = [i for i in order if i not in held and not (len(text[i].split()) >= PIECE and text[i] in everything)]
    long = [i for i in rest if len(text[i].split()) > WHOLE_SENTENCE]
    parents = {i for i in long if any(sentence in text[i] for sentence in sentences)}
    return examples.subset([i for i in rest if i not in parents]), examples.subset(kept)


WHOLE_SENTENCE, PIECE = 15, 3
"""Words from which a row counts as a sentence, and as a telling piece of one."""


@dataclass(frozen=True)
class Tokens:
    """Tokenised rows: ``ids[i]`` and ``types[i]`` are lists of one length each (no ``types``: for a model that knows
    none); ``labels`` as in :class:`Examples`, or a list of probabilities of classes each."""

    ids: list[list[int]]
    types: list[list[int]]
    labels: list[Any]
    pad: int
    is_regression: bool

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, rows: list[int]) -> Tokens:
        """The named rows, in that order."""
        ids, types, labels = ([own[i] for i in rows] if own else [] for own in (self.ids, self.types, self.labels))
        return replace(self, ids=ids, types=types, labels=labels)

    def batch(self, rows: list[int]) -> dict[str, Tensor]:
        """Padded tensors of some rows: input_ids, token_type_ids, attention_mask ``[n, L]``, labels ``[n]`` (classes or
        scores) or ``[n, classes]`` (probabilities)."""
        lengths = torch.tensor([len(self.ids[i]) for i in rows])
        longest = int(lengths.max())

        def pad(lists: list[list[int]], filler: int) -> Tensor:
            return torch.tensor([lists[i] + [filler] * (longest - len(lists[i])) for i in rows])

        batch = {
            "input_ids": pad(self.ids, self.pad),
            "attention_mask": (torch.arange(longest) < lengths[:, None]).long(),
        }
        if self.types:
            batch["token_type_ids"] = pad(self.types, 0)
        if self.labels:
            classes = not self.is_regression and not isinstance(self.labels[0], list)
            kind = torch.int64 if classes else torch.float32
            batch["labels"] = torch.tensor([self.labels[i] for i in rows], dtype=kind)
        return batch


def tokenizer_of(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a network, spiking or not."""
    return PreTrainedTokenizerFast.from_pretrained(tokenizer_file(folder).parent)


def tokenize(examples: Examples, tokenizer: Any, task: Task, max_length: int, *, types: bool = True) -> Tokens:
    """Tokenise rows with a Hugging Face fast tokenizer, cut to ``max_length`` tokens (the longer sentence first).

    ``types`` are asked for: a tokenizer loaded without its model's class leaves them out. False for a model that knows
    none, or that does without.
    """
    pairs = list(zip(*examples.texts, strict=True))
    columns = [list(column) for column in pairs]
    coded = tokenizer(*columns, truncation=True, max_length=max_length, return_token_type_ids=types)
    ids, kinds = coded["input_ids"], coded["token_type_ids"] if types else []
    return Tokens(ids, kinds, examples.labels, tokenizer.pad_token_id, task.is_regression)


def sorted_batches(tokens: Tokens, batch_size: int) -> list[list[int]]:
    """Rows in batches of like length, shortest first: for evaluation, the same on every machine."""
    order = sorted(range(len(tokens)), key=lambda i: (len(tokens.ids[i]), i))
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def shuffled_batches(tokens: Tokens, batch_size: int, seed: int, pool: int = 50) -> Iterator[list[int]]:
    """One epoch of batches of like length in random order: rows are sorted within random pools of 50 batches."""
    draw = random.Random(seed)
    order = list(range(len(tokens)))
    draw.shuffle(order)
    batches = []
    for start in range(0, len(order), pool * batch_size):
        rows = sorted(order[start : start + pool * batch_size], key=lambda i: len(tokens.ids[i]))
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    draw.shuffle(batches)
    yield from batches
