"""Rows from any source: CSV, TSV, JSON, JSON Lines or Parquet files, a ``datasets`` data set, or mappings in memory."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from ..errors import InputError
from ..program.text import MOST_LETTERS
from ..reading import parse_json, read_json, whole

Source = str | Path | Iterable[Mapping[str, Any]]
"""A file, the name of a ``datasets`` set (``name``, ``name:split`` or ``name:configuration:split``), or mappings."""

Progress = Callable[[Iterable[Any]], Iterable[Any]]
"""Wraps an iterable of what is read or run, e.g. to show a progress bar."""

Row = tuple[int, Mapping[str, Any]]
"""Number and values of a row. The number is the line where it starts in its file (from 1), else its index (from 0)."""

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
OTHERS = (".xlsx", ".xls", ".ods", ".txt", ".xml", ".yaml", ".yml", ".arrow", ".feather", ".pkl", ".gz", ".zip", ".zst")
"""Endings of files that cannot be read. A name with such an ending is not taken for a data set either."""

SEPARATORS = (";", "\t", ",", "|")
"""Wrong separators that may be found between columns instead of the expected one."""

LONGEST_CELL = 16 * MOST_LETTERS
"""Maximum number of characters in a CSV cell. It bounds how much is read after a quote that is not closed. Texts that
are too long for a tokenizer get an error of their own.
"""

SPLITS = ("validation", "test", "train")
"""Splits of a data set to use if none is given: the first one that it has."""


@dataclass(frozen=True)
class Table:
    """An open source of rows.

    Attributes:
        name: name of the source.
        columns: names of its columns.
        read: yields rows with at least the requested columns.
        names: names of the numbers in a column (``ClassLabel`` of ``datasets``), by column.
    """

    name: str
    columns: list[str]
    read: Callable[[Sequence[str]], Iterator[Row]]
    names: Mapping[str, list[str]] = field(default_factory=dict)

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Read rows with these columns. Numbers that have names are replaced by them, and −1 by None.

        Raises:
            InputError: a column is missing, there are no rows, or a row cannot be read.
        """
        if missing := [column for column in columns if column not in self.columns]:
            cure = f"choose from the columns {', '.join(map(repr, self.columns))}"
            if len(self.columns) == 1 and (mark := next((own for own in SEPARATORS if own in self.columns[0]), None)):
                cure = f"put commas (.csv) or tabs (.tsv) between the columns, not {mark!r}"
            raise InputError("no such column", file=self.name, field=", ".join(missing), cure=cure)
        number = None
        for number, row in self.read(columns):
            if missing := [column for column in columns if column not in row]:
                problem = f"no {missing[0]!r}, {len(row)} of {len(self.columns)} columns"
                raise InputError(problem, file=self.name, field=f"row {number}", cure="correct the row")
            named = {column: _named(row[column], names) for column, names in self.names.items() if column in columns}
            yield number, {**row, **named}
        if number is None:
            raise InputError("no rows", file=self.name, cure="give at least one row")


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, (list, tuple)):
        return [_named(one, names) for one in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None


def open_table(source: Source, *, quotes: str = "csv", header: Sequence[str] | None = None) -> Table:
    """Open a source. ``quotes`` and ``header`` of CSV and TSV files are as in :class:`~matterhorn.tasks.task.Task`.

    Raises:
        InputError: there is no such file or data set, it cannot be read, or a package that is needed is missing.
    """
    if not isinstance(source, (str, Path)):
        if hasattr(source, "select_columns"):
            return _set(source, "rows")
        if not isinstance(source, Iterable):
            cure = "give a file, a data set, or a mapping of columns to values for each row"
            raise InputError(f"a {type(source).__name__}, not rows", field="rows", cure=cure)
        return _numbered(enumerate(source), "rows")
    path = file_of(source)
    if path is None:
        return _set(load_set(str(source)), str(source))
    with whole(path, "give a whole file"):
        suffix = path.suffix.lower()
        if suffix == ".parquet":
            return _parquet(path)
        if suffix in (".csv", ".tsv"):
            return _delimited(path, "," if suffix == ".csv" else "\t", quotes, header or ())
        return _numbered(_json(path) if suffix == ".json" else _json_lines(path), str(path))


def file_of(source: str | Path) -> Path | None:
    """Return the file that a source names. None: it names a ``datasets`` data set.

    Raises:
        InputError: the file does not exist, or is of an unsupported kind.
    """
    path = Path(source)
    if path.suffix.lower() not in SUFFIXES:
        if path.is_file() or path.suffix.lower() in OTHERS:
            raise InputError("unknown kind of file", file=path, cure=f"save it as one of {', '.join(SUFFIXES)}")
        return None
    if not path.is_file():
        raise InputError("no such file", file=path, cure="give a file that exists (of GLUE: --glue-dir, its folder)")
    return path


def _delimited(path: Path, mark: str, quotes: str, own: Sequence[str]) -> Table:
    read = _quoted if quotes == "csv" else _lines

    def cells() -> Iterator[tuple[int, list[str]]]:
        with whole(path), path.open(encoding="utf-8-sig", newline="" if quotes == "csv" else "\n") as file:
            yield from read(path, file, mark, quotes)

    first = next(cells(), (1, []))[1]
    has_header = not own or bool({*own} & {*first})
    columns = first if has_header else list(own)
    if not columns:
        raise InputError("empty", file=path, cure="give a header, and at least one row")
    if twice := [column for column, times in Counter(columns).items() if times > 1]:
        raise InputError("a duplicate column", file=path, field=f"column {twice[0]!r}", cure="rename one of them")

    def rows(_: Sequence[str]) -> Iterator[Row]:
        for place, values in islice(cells(), int(has_header), None):
            if quotes == "csv" and len(values) != len(columns):
                problem = f"{len(values)} of {len(columns)} columns"
                raise InputError(problem, file=path, field=f"row {place}", cure="correct the row, or quote its texts")
            yield place, dict(zip(columns, values, strict=False))

    return Table(str(path), columns, rows)


def _quoted(path: Path, file: TextIO, mark: str, _: str) -> Iterator[tuple[int, list[str]]]:
    """Read cells with quotes as spreadsheets write them. A row may span several lines."""
    csv.field_size_limit(max(LONGEST_CELL, csv.field_size_limit()))
    reader, start = csv.reader(file, delimiter=mark, strict=True), 1
    try:
        for cells in reader:
            if cells:
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        cure = "close and double the quotes in its texts, or treat them as letters (quotes: plain in a task's YAML)"
        raise InputError(str(error), file=path, field=f"row {start}", cure=cure) from error


def _lines(_: Path, file: TextIO, mark: str, quotes: str) -> Iterator[tuple[int, list[str]]]:
    """Read one row per line. Quotes are ordinary characters, or only count around a whole cell."""
    for number, line in enumerate(file, 1):
        if line.strip():
            cells = line.rstrip("\n").rstrip("\r").split(mark)
            yield number, [_unquote(cell) for cell in cells] if quotes == "doubled" else cells


def _unquote(text: str) -> str:
    return text[1:-1].replace('""', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text


def _json(path: Path) -> list[Row]:
    plain = read_json(path, cure="give a list of objects (or name it .jsonl)")
    if not isinstance(plain, list):
        raise InputError("not a list", file=path, cure="give a list of objects")
    return list(enumerate(plain))


def _json_lines(path: Path) -> Iterator[Row]:
    with whole(path), path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, parse_json(line, path, field=f"row {number}", cure="write one JSON object per line")


def _numbered(rows: Iterable[Row], name: str) -> Table:
    """Read rows that are mappings. The first row determines the columns."""

    def checked() -> Iterator[Row]:
        for number, row in rows:
            if not isinstance(row, Mapping):
                cure = "give a mapping of columns to values for each row"
                raise InputError(f"a {type(row).__name__}", file=name, field=f"row {number}", cure=cure)
            yield number, row

    rest = checked()
    first = next(rest, None)
    if first is None:
        raise InputError("no rows", file=name, cure="give at least one row")
    return Table(name, list(first[1]), lambda _: chain([first], rest))


def _set(rows: Any, name: str) -> Table:
    """Read a ``datasets`` data set."""
    if isinstance(rows, dict):
        cure = f"give one of them, e.g. the rows of {next(iter(rows), 'train')!r}"
        raise InputError(f"several splits: {', '.join(rows)}", file=name, cure=cure)

    if rows.column_names is None:  # from a generator, the columns are not known in advance
        return _numbered(enumerate(rows), name)

    def read(columns: Sequence[str]) -> Iterator[Row]:
        yield from enumerate(rows.select_columns(list(columns)))

    features = rows.features or {}
    return Table(name, rows.column_names, read, {c: n for c, f in features.items() if (n := _class_names(f))})


def _class_names(feature: Any) -> list[str] | None:
    """Names of a ``ClassLabel``, or of a list of them."""
    names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
    return list(names) if names else None


def _parquet(path: Path) -> Table:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise InputError("Parquet needs pyarrow", file=path, cure='pip install "matterhorn-snn[data]"') from error
    schema = parquet.read_schema(path)

    def read(columns: Sequence[str]) -> Iterator[Row]:
        with whole(path, "give a whole file"), parquet.ParquetFile(path) as file:
            batches = file.iter_batches(columns=list(columns))
            yield from enumerate(row for batch in batches for row in batch.to_pylist())

    about = parse_json((schema.metadata or {}).get(b"huggingface", b"{}").decode(), path, field="huggingface")
    kept = about
    for name in ("info", "features"):
        kept = kept.get(name) if isinstance(kept, dict) else None
    features = kept.items() if isinstance(kept, dict) else ()
    names = {column: own for column, feature in features if (own := _kept_names(feature))}
    return Table(str(path), schema.names, read, names)


def _kept_names(feature: Any) -> list[str] | None:
    """Do the same as :func:`_class_names` for features that ``datasets`` has stored in a Parquet file."""
    inner = feature.get("feature", feature) if isinstance(feature, dict) else {}
    return inner.get("names") if isinstance(inner, dict) else None


def load_set(name: str, instead: str = "a file") -> Any:
    """Load a ``datasets`` data set from the hub, from a folder of files, or from a folder that ``save_to_disk`` wrote.

    Args:
        name: ``name``, ``name:split`` or ``name:configuration:split``. Without a split, it is the first of
            :data:`SPLITS` that exists.
        instead: an alternative to suggest in errors.

    Raises:
        InputError: ``datasets`` is not installed, or there is no such data set or split.
    """
    own, *more = [name] if Path(name).is_dir() else name.split(":")
    configuration, split = more[0] if len(more) > 1 else None, more[-1] if more else None
    try:
        import datasets
    except ImportError as error:
        cure = f'give {instead}, or pip install "matterhorn-snn[train]"'
        raise InputError("this needs the package datasets", file=name, cure=cure) from error
    try:
        is_saved = any((Path(own) / file).is_file() for file in ("state.json", "dataset_dict.json"))
        found = datasets.load_from_disk(own) if is_saved else datasets.load_dataset(own, configuration)
    except Exception as error:
        problem = " ".join(str(error).split())
        cure = f"give {instead}, or a data set on the hub, in its cache, or in a folder"
        raise InputError(f"cannot be loaded ({problem})", file=name, cure=cure) from error
    if not isinstance(found, dict):
        return found
    chosen = split or next((own for own in SPLITS if own in found), next(iter(found)))
    if chosen not in found:
        raise InputError(f"no split {chosen!r}", file=name, field="split", cure=f"choose from {', '.join(found)}")
    return found[chosen]
