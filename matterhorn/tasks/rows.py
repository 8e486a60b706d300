"""Reading GLUE rows, from a folder of TSV files or from the hub, and holding some of them out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .task import Task

WHOLE_SENTENCE, PIECE = 15, 3
"""Words from which a row counts as a sentence, and as a telling piece of one."""


@dataclass(frozen=True)
class Examples:
    """Rows of a task: ``texts`` (one or two strings each) and ``labels`` (class numbers, or scores; empty for test)."""

    texts: list[tuple[str, ...]]
    labels: list[float]

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, rows: list[int]) -> Examples:
        """The named rows, in that order."""
        return Examples([self.texts[i] for i in rows], [self.labels[i] for i in rows] if self.labels else [])


def load_examples(task: Task, split: str, glue_dir: Path | None = None) -> Examples:
    """Rows of one split (``train``, ``dev``, …), from ``glue_dir`` if given, else from the hub through ``datasets``.

    Raises:
        InputError: there is no such split, or its rows cannot be read.
    """
    if glue_dir is None:
        return _from_hub(task, split)
    if split not in task.files:
        raise InputError(f"{task.name} has no split {split!r}", field="split", cure=f"choose one of {list(task.files)}")
    return read_tsv(task, Path(glue_dir) / task.folder / task.files[split], labelled=not split.startswith("test"))


def read_tsv(task: Task, path: Path, *, labelled: bool = True) -> Examples:
    """Read one GLUE file. Rows to predict (not ``labelled``) may be empty, as some of QQP's are.

    Raises:
        InputError: names the file and the row (counted from 1, the header included).
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
    try:
        import datasets
    except ImportError as error:
        cure = 'give --glue-dir, or pip install "matterhorn-snn[train]"'
        raise InputError("the hub needs the package datasets", field="glue_dir", cure=cure) from error
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

    Raises:
        InputError: rows are fragments, and none of them is a whole sentence.
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
