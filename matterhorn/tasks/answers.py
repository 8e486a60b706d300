"""Answer a file of rows of any size. Answers are written in parts, so that an interrupted run can be resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..storage import check_file, claim, finish, put_file
from .answer_files import Format, format_of
from .predictor import Columns, Predictor, Texts, texts_of
from .tables import Progress, open_table

PART_ROWS = 2048
"""Rows that are read, answered and saved at a time. At most this many are lost if the run is interrupted."""


class Written(NamedTuple):
    """Number of rows that were answered, and of those that were truncated."""

    rows: int
    cut: int


def write_answers(
    predictor: Predictor,
    source: str | Path,
    output: Path,
    *,
    shard: tuple[int, int] = (0, 1),
    progress: Callable[[str], Progress] = lambda _: iter,
) -> Written:
    """Write the answers to a file's rows, in order, each with its row number from 0. Memory does not grow.

    All rows are read once before the first is answered, so that an empty text cannot stop the run halfway. Answers are
    first written in parts, in the folder ``<output>.parts``. If interrupted, the same call resumes from them.

    Args:
        source: see :func:`~matterhorn.tasks.tables.open_table`.
        output: file ending in ``.csv``, ``.jsonl`` or ``.parquet``.
        shard: (i, n) for part i, from 0, of n nearly equal, consecutive parts of the rows.
        progress: returns a progress bar with the given title.

    Raises:
        InputError: the output exists or is of an unknown kind, the parts are of another run, a text is missing, or
            there are more shards than rows.
    """
    form = format_of(output)
    _check_free(output)
    program = predictor.program
    n, digest = survey(source, predictor.text, progress("read"))
    start, stop = stretch(n, *shard)
    own = {"text": predictor.text, "max_length": predictor.max_length, "logits": predictor.logits}
    about = {"program": program.hash, **own, "rows": digest, "shard": [start, stop]}
    folder = output.with_name(output.name + ".parts")
    places = {first: folder / f"{first:012d}{output.suffix}" for first in range(start, stop, PART_ROWS)}
    names, cut = [place.name for place in places.values()], 0
    with claim(folder, about, names, cure="delete it, or name another output"):
        rows = islice(_texts(source, predictor.text), start, stop)
        for first, place in progress("predict")(places.items()):
            texts = list(islice(rows, PART_ROWS))
            coded = predictor.tokenized(texts)
            cut += sum(bool(one.overflowing) for one in coded)
            if not place.is_file():
                numbers = np.arange(first, first + len(texts))
                _write_part(form, place, {"row": numbers, **predictor.answers_to(coded)})
        columns = ["row", *predictor.answers([])]
        _check_free(output)
        put_file(output, lambda fresh: form.join(list(places.values()), columns, fresh))
    finish(folder, names)
    return Written(stop - start, cut)


def _write_part(form: Format, place: Path, columns: Columns) -> None:
    put_file(place, lambda fresh: form.write(fresh, columns))


def survey(source: str | Path, columns: Sequence[str], progress: Progress = iter) -> tuple[int, str]:
    """Return the number of rows, and a hash of their texts.

    Raises:
        InputError: the source cannot be read, or a column or a text is missing.
    """
    digest, n = hashlib.sha256(), 0
    for n, texts in enumerate(progress(_texts(source, columns)), 1):  # noqa: B007
        digest.update(json.dumps(texts).encode())
    return n, digest.hexdigest()


def stretch(n: int, which: int, shards: int) -> tuple[int, int]:
    """Return where a shard of ``n`` rows begins and ends.

    Raises:
        InputError: there is no such shard, or there are more shards than rows.
    """
    if not 0 <= which < shards:
        cure = "number shards from 0, e.g. 0/2 and 1/2"
        raise InputError(f"no shard {which} of {shards}", field="shard", cure=cure)
    if shards > n:
        raise InputError(f"{shards} shards of {n} rows", field="shard", cure="give no more shards than rows")
    return n * which // shards, n * (which + 1) // shards


def _texts(source: str | Path, columns: Sequence[str]) -> Iterator[Texts]:
    table = open_table(source)
    for number, row in table.rows(columns):
        try:
            yield texts_of({column: row[column] for column in columns}, f"row {number}")
        except InputError as error:
            raise InputError(str(error), file=table.name) from error


def _check_free(output: Path) -> None:
    if output.exists():
        raise InputError("already there", file=output, field="output", cure="move it away, or name another file")
    check_file(output, "output")
