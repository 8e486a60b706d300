"""Answer files in CSV, JSON Lines or Parquet.

They are written in parts, which are then joined without loading them into memory.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..errors import InputError
from .predictor import Columns

TOGETHER = 32
"""Number of parts that form one row group of a Parquet file."""


class Format(NamedTuple):
    """File format. ``write`` writes columns as a part; ``join`` joins parts, given the column names."""

    write: Callable[[Path, Columns], None]
    join: Callable[[Sequence[Path], Sequence[str], Path], None]


def format_of(output: Path) -> Format:
    """Return the format for a file name.

    Raises:
        InputError: the ending is unknown, or a package that is needed is missing.
    """
    if (suffix := output.suffix.lower()) not in FORMATS:
        raise InputError("unknown kind of file", file=output, field="output", cure=f"name it {', '.join(FORMATS)}")
    if suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            cure = 'pip install "matterhorn-snn[data]", or write .csv or .jsonl'
            raise InputError("Parquet needs pyarrow", file=output, field="output", cure=cure) from error
    return FORMATS[suffix]


def _plain(columns: Columns) -> list[tuple[Any, ...]]:
    """Convert columns to rows of Python values. A float32 becomes the shortest decimal that reads back as itself."""
    return list(zip(*(_values(column) for column in columns.values()), strict=True))


def _values(column: Any) -> list[Any]:
    if isinstance(column, np.ndarray):
        return [float(str(value)) for value in column] if column.dtype == np.float32 else column.tolist()
    return list(column)


def _write_csv(path: Path, columns: Columns) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for row in _plain(columns):
            writer.writerow([json.dumps(value) if isinstance(value, list) else value for value in row])


def _join_csv(parts: Sequence[Path], names: Sequence[str], output: Path) -> None:
    with output.open("wb") as file:
        header = TextIOWrapper(file, encoding="utf-8", newline="")
        csv.writer(header, lineterminator="\n").writerow(names)
        header.detach()  # flushes the header, and keeps the file open for the parts
        _append(parts, file)


def _write_lines(path: Path, columns: Columns) -> None:
    lines = (json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in _plain(columns))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _join_lines(parts: Sequence[Path], _: Sequence[str], output: Path) -> None:
    with output.open("wb") as file:
        _append(parts, file)


def _append(parts: Sequence[Path], file: BinaryIO) -> None:
    for part in parts:
        with part.open("rb") as own:
            shutil.copyfileobj(own, file)


def _write_parquet(path: Path, columns: Columns) -> None:
    import pyarrow as arrow
    from pyarrow import parquet

    names = arrow.list_(arrow.string())  # an explicit type, as all lists of a part may be empty
    arrays = {n: arrow.array(c, names if isinstance(c[0], list) else None) for n, c in columns.items()}
    parquet.write_table(arrow.table(arrays), path)


def _join_parquet(parts: Sequence[Path], _: Sequence[str], output: Path) -> None:
    import pyarrow as arrow
    from pyarrow import parquet

    with parquet.ParquetWriter(output, parquet.read_schema(parts[0])) as writer:
        for start in range(0, len(parts), TOGETHER):
            writer.write_table(arrow.concat_tables([parquet.read_table(p) for p in parts[start : start + TOGETHER]]))


FORMATS = {
    ".csv": Format(_write_csv, _join_csv),
    ".jsonl": Format(_write_lines, _join_lines),
    ".parquet": Format(_write_parquet, _join_parquet),
}
