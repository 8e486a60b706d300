"""A program as a function from batches of rows to batches of answers, for files and for worker processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from ..errors import InputError
from ..program import Program, find, load
from ..program.decision import check_classifier, decide, probabilities
from ..program.files import KIND, read_config
from ..program.text import check_letters, encodings, pad, reader
from ..runtime import Engine
from ..runtime.engine import BACKENDS
from ..runtime.threads import threads_of
from ..storage import manifest_of
from .task import check_texts

Texts = tuple[str, ...]
"""One text, or the two texts of a pair."""
IDS = ("id", "idx")
"""Columns that identify a row in error messages."""
Columns = dict[str, Any]
"""Columns by name, with one value per row: lists or float32 arrays."""


class _Loaded(NamedTuple):
    engine: Engine
    tokenizer: Tokenizer


class Predictor:
    """Answers batches of rows, in this process or in others, e.g. with ``datasets.Dataset.map``.

    A predictor is pickled as the path of its program. Each process loads the program once, with its first batch. The
    answers are bit-identical however rows are divided into batches and processes.

    >>> answers = Predictor("sst2", text="review")({"review": ["A quiet, patient film.", "Loud."]})
    >>> answers["prediction"]
    ['positive', 'negative']

    Args:
        model: folder of a program, or name of a shipped one. On other machines the folder must have the same path.
        text: column of the text, or the two columns of a pair.
        max_length: texts are truncated to this many tokens, or to the network's maximum if that is less.
        batch_size: rows that are given to the engine at once.
        backend: see :class:`matterhorn.Engine`.
        threads: threads per process. None: ``OMP_NUM_THREADS`` if it is set, else all processors.
        logits: whether answers include the logits.

    Raises:
        InputError: there is no such program; it is a general encoder without a classifier; it takes another number of
            texts than there are columns; there is no such backend; or a number is not a whole number of 1 or more.
    """

    def __init__(
        self,
        model: str | Path,
        text: str | Sequence[str],
        *,
        max_length: int = 128,
        batch_size: int = 32,
        backend: str = "events",
        threads: int | None = 1,
        logits: bool = False,
    ):
        self.folder = find(model).resolve()
        cure = "name one column of texts, or two"
        if not isinstance(text, Sequence) or not all(isinstance(column, str) for column in text):
            raise InputError(f"{text!r}", field="text", cure=cure)
        self.text = (text,) if isinstance(text, str) else tuple(text)
        if not 1 <= len(self.text) <= 2:
            raise InputError(f"{len(self.text)} columns", field="text", cure=cure)
        for name, value in (("max_length", max_length), ("batch_size", batch_size)):
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise InputError(f"{value!r}", field=name, cure="give 1 or more")
        if backend not in BACKENDS:
            raise InputError(f"no backend {backend!r}", field="backend", cure=f"choose one of {', '.join(BACKENDS)}")
        self.max_length, self.batch_size, self.backend = max_length, batch_size, backend
        self.threads, self.logits = None if threads is None else threads_of(threads), logits
        self._manifest, plain = manifest_of(self.folder, KIND), read_config(self.folder)
        check_classifier(plain["task"], self.folder)
        check_texts(len(self.text), plain["task"], plain.get("texts"), self.folder)

    def __call__(self, batch: Mapping[str, Any]) -> Columns:
        """Return a batch with its answers: the given columns, followed by those of :meth:`answers`.

        Args:
            batch: columns by name, as lists or arrays with one value per row.

        Raises:
            InputError: ``batch`` is not a batch of columns (a single row is not); a column is missing, or has another
                number of values; or a text is missing or cannot be read. The message gives the row's position in the
                batch, and its ``id`` or ``idx`` if there is such a column.
        """
        if missing := [column for column in self.text if column not in batch]:
            cure = f"choose from the columns {', '.join(map(repr, batch))}"
            raise InputError("no such column", field=", ".join(missing), cure=cure)
        named = next((name for name in IDS if name in batch), None)
        sizes = {name: _size(name, batch[name]) for name in (*self.text, *((named,) if named else ()))}
        if len({*sizes.values()}) > 1:
            each = ", ".join(f"{size} of {name}" for name, size in sizes.items())
            raise InputError(f"{each}", field="batch", cure="give as many values of each column")
        places = [f"row {number} of the batch" for number in range(sizes[self.text[0]])]
        if named:
            places = [f"{place} ({named} {own})" for place, own in zip(places, batch[named], strict=True)]
        rows = zip(*(batch[column] for column in self.text), strict=True)
        texts = [
            texts_of(dict(zip(self.text, row, strict=True)), place) for place, row in zip(places, rows, strict=True)
        ]
        return {**batch, **self.answers(texts)}

    def answers(self, texts: Sequence[Texts]) -> Columns:
        """Answer texts. Returns columns by name.

        ``prediction`` is the name of the label, a list of the labels that hold (multi-label), or the score (regression;
        ``prediction_<label>`` if there are several). Classifiers also give ``probability_<label>`` for every label;
        single-label ones also ``probability`` of the prediction. ``logit_<label>`` is included if it was requested.
        """
        return self.answers_to(self.tokenized(texts))

    def tokenized(self, texts: Sequence[Texts]) -> list[Encoding]:
        """Return the texts as the program reads them. One that was truncated has an ``overflowing``."""
        return encodings(self._loaded.tokenizer, [(text[0], text[1]) if len(text) == 2 else text[0] for text in texts])

    def answers_to(self, coded: Sequence[Encoding]) -> Columns:
        """Return the columns of :meth:`answers` for tokenized texts."""
        found = self._logits(coded)
        logits = {f"logit_{label}": column for label, column in zip(self.program.labels, found.T, strict=True)}
        return _answers(self.program, found) | (logits if self.logits else {})

    @property
    def program(self) -> Program:
        """The program. It is loaded on first use."""
        return self._loaded.engine.program

    @cached_property
    def _loaded(self) -> _Loaded:
        program = load(self.folder)
        if manifest_of(self.folder, KIND) != self._manifest:
            raise InputError("the program was replaced meanwhile", file=self.folder, cure="make a new predictor")
        if program.tokenizer is None:
            raise InputError("no tokenizer", file=self.folder, cure="give a program that was saved with its tokenizer")
        most = min(self.max_length, program.config.max_position_embeddings)
        return _Loaded(
            Engine(program, self.backend, threads=self.threads),
            reader(program.tokenizer, most, pairs=len(self.text) == 2),
        )

    def _logits(self, coded: Sequence[Encoding]) -> NDArray[np.float32]:
        engine = self._loaded.engine
        filler, found = engine.program.config.pad_token_id, []
        for start in range(0, len(coded), self.batch_size):
            batch = coded[start : start + self.batch_size]
            found.append(engine(**pad([one.ids for one in batch], [one.type_ids for one in batch], filler)).logits)
        return np.concatenate(found) if found else np.empty((0, len(engine.program.labels)), np.float32)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_loaded"}


def _size(name: str, column: Any) -> int:
    """Return the number of values in a column of a batch.

    Raises:
        InputError: it is not a column. A single text is refused too, as its letters would be taken for texts.
    """
    if isinstance(column, (str, bytes)) or not hasattr(column, "__len__"):
        problem = f"a {type(column).__name__}, not a list of values"
        raise InputError(problem, field=f"column {name}", cure="give batches, e.g. map(…, batched=True)")
    return len(column)


def texts_of(row: Mapping[str, Any], place: str) -> Texts:
    """Return the texts in a row's columns, stripped as :func:`~matterhorn.tasks.rows.read_rows` strips them.

    Raises:
        InputError: one is missing, is not a string, or is too long. The message names the row and the column.
    """
    for column, text in row.items():
        if not (isinstance(text, str) and text.strip()):
            is_empty = text is None or isinstance(text, str) or (isinstance(text, float) and text != text)
            problem = "empty text" if is_empty else f"a {type(text).__name__}, not a text"
            raise InputError(problem, field=f"{place}, column {column}", cure="fill it in, or drop the row")
    try:
        check_letters(*row.values())
    except InputError as error:
        raise InputError(str(error), field=f"{place}, column {', '.join(row)}") from error
    return tuple(text.strip() for text in row.values())


def _answers(program: Program, logits: NDArray[np.float32]) -> Columns:
    labels, kind = program.labels, program.problem_type
    decided, shares = decide(kind, logits), probabilities(kind, logits)
    if shares is None:
        scores = [f"prediction_{label}" for label in labels] if len(labels) > 1 else ["prediction"]
        return dict(zip(scores, decided.T, strict=True))
    by_label = {f"probability_{label}": column for label, column in zip(labels, shares.T, strict=True)}
    if kind == "multi_label_classification":
        held = [[label for label, holds in zip(labels, row, strict=True) if holds] for row in decided]
        return {"prediction": held, **by_label}
    return {"prediction": [labels[i] for i in decided], "probability": shares.max(-1), **by_label}
