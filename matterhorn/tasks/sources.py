"""Unlabeled text: public sources as data, conversion of the published files to rows, and recombined rows."""

from __future__ import annotations

import csv
import fnmatch
import gzip
import hashlib
import io
import json
import os
import random
import re
import tarfile
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from itertools import combinations
from pathlib import Path
from typing import IO, Literal, cast

from pydantic import Field, StrictInt

from ..errors import InputError
from ..reading import Strict, read_bytes, read_mapping, read_yaml, unpacked, validated, whole
from ..storage import put_file, sha256
from .tables import Progress

Texts = tuple[str, ...]
"""One sentence, or the two of a pair."""

WORDS = range(5, 41)
"""Permitted numbers of words of a sentence that is taken from running text."""

FOLDER = "MATTERHORN_TEXT_DIR"
"""Environment variable for the folder of prepared sources. The default folder is ``text``."""

FORMAT = 1
"""Version of the file that describes prepared rows."""

HASH = "^[0-9a-f]{64}$"
ARCHIVE, BREAK = ".tar.gz", re.compile(r"<br ?/?>")
MOST_UNPACKED = 2**31
"""Maximum number of bytes that are unpacked from a file."""

TIMEOUT = 60.0
"""Seconds to wait for a server."""

PART = 2**16
"""Bytes that are fetched at a time."""


class Source(Strict):
    """A public source of text.

    Attributes:
        url: address with ``{version}`` and ``{file}``.
        files: SHA-256 of each published file.
        reader: ``parallel``: texts in the same line of two files each belong together, or with ``each``, this many
            pairs are drawn from the texts of a line. ``table``: ``columns`` of tab-separated files, by name, or by
            number without a header. ``sentences``: sentences of running text, where lines and HTML breaks end one.
        members: for a tar archive, ``fnmatch`` patterns of the members to read.
        quotes: as in :class:`~matterhorn.tasks.task.Task`. In a ``plain`` table a quote is a letter.
    """

    about: str
    license: str
    version: str
    url: str
    reader: Literal["parallel", "table", "sentences"]
    columns: list[str] | list[int] = Field([])
    quotes: Literal["csv", "plain"] = "csv"
    each: int = Field(0, ge=0)
    members: str = "*"
    files: dict[str, str]

    @property
    def sha256(self) -> str:
        """SHA-256 of the names and hashes of all its files."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()


class Use(Strict):
    """A source in a recipe: at most ``rows`` rows of it, and ``crossed`` pairs made from it (:func:`cross`)."""

    name: str
    version: str
    sha256: str = Field(pattern=HASH)
    rows: StrictInt | None = Field(None, gt=0)
    crossed: StrictInt = Field(0, ge=0)


def sources() -> dict[str, Source]:
    """Return all known sources by name."""
    path = Path(__file__).with_name("sources.yaml")
    return validated(dict[str, Source], read_yaml(path), path)


def prepare(
    name: str, source: Source, files: Path, output: Path, *, progress: Callable[[str], Progress] = lambda _: iter
) -> int:
    """Write a source's rows to ``output``: ``<name>.tsv.gz``, always with the same bytes, and a description next to
    it.

    Args:
        files: folder of the published files. Missing ones are downloaded and kept there.
        progress: returns a progress bar with the given title.

    Returns:
        The number of rows.

    Raises:
        InputError: a file cannot be downloaded, or its SHA-256 is not the known one.
    """
    contents = {file: _published(source, file, files, progress) for file in source.files}
    rows = list(dict.fromkeys(row for row in _rows(source, contents) if all(row)))
    if not rows:
        raise InputError("no rows", file=files, field=name, cure="give the published files")
    lines = ["\t".join(" ".join(text.split()) for text in row) for row in rows]
    packed = gzip.compress("\n".join(lines).encode(), mtime=0)
    output.mkdir(parents=True, exist_ok=True)
    put_file(output / f"{name}.tsv.gz", packed)
    about = {
        "format": FORMAT,
        "name": name,
        "version": source.version,
        "sha256": source.sha256,
        "license": source.license,
    }
    about |= {"rows": str(len(rows)), "content": hashlib.sha256(packed).hexdigest()}
    put_file(output / f"{name}.json", json.dumps(about, indent=1) + "\n")
    return len(rows)


def load_source(use: Use) -> list[Texts]:
    """Load the rows that a recipe requests from a prepared source.

    Raises:
        InputError: it is missing, of another version, or altered.
    """
    folder = Path(os.environ.get(FOLDER, "text"))
    place, cure = folder / f"{use.name}.json", f"matterhorn data prepare {use.name} --output {folder}"
    if not place.is_file():
        raise InputError("not prepared", file=place, field="sources", cure=cure)
    about, rows = read_mapping(place, cure), folder / f"{use.name}.tsv.gz"
    if about.get("format") != FORMAT:
        raise InputError(f"format {about.get('format')}, not {FORMAT}", file=place, field="format", cure=cure)
    for field, wanted in (("version", use.version), ("sha256", use.sha256)):
        if about.get(field) != wanted:
            raise InputError(f"another {field} than the recipe's", file=place, field=field, cure=cure)
    if not rows.is_file() or sha256(rows) != about.get("content"):
        raise InputError("not as it was prepared", file=rows, cure=cure)
    text = _text_of(unpacked(read_bytes(rows), rows, most=MOST_UNPACKED, cure=cure), rows)
    return [tuple(line.split("\t")) for line in text.split("\n")]


def cross(rows: list[Texts], count: int, seed: int) -> list[Texts]:
    """Make at most ``count`` pairs that are in no row.

    Each consists of the first sentence of one row and a second sentence that shares its rarest word, or any if none
    does.
    """
    pairs, draw = [row for row in rows if len(row) == 2], random.Random(seed)
    holding: dict[str, list[str]] = defaultdict(list)
    for _, second in pairs:
        for word in {*second.lower().split()}:
            holding[word].append(second)
    found = dict[Texts, None]()
    for first, own in draw.sample(pairs, min(2 * count, len(pairs))):
        shared = [word for word in sorted({*first.lower().split()}) if len(holding.get(word, ())) > 1]
        rarest = min(shared, key=lambda word: len(holding[word]), default=None)
        second = draw.choice(holding[rarest]) if rarest else draw.choice(pairs)[1]
        if second != own:
            found[first, second] = None
    return [pair for pair in found if pair not in {*rows}][:count]


def _published(source: Source, file: str, folder: Path, progress: Callable[[str], Progress]) -> bytes:
    """Return the content of a published file, unpacked. It is downloaded if it is missing, and its hash is checked."""
    place = folder / file
    if not place.is_file():
        url = source.url.format(version=source.version, file=file)
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                size = int(answer.headers.get("Content-Length") or 0)
                parts = [answer.read(PART) for _ in progress(f"fetch {file}")(range(size // PART))]
                content = b"".join((*parts, answer.read()))
        except (OSError, HTTPException) as error:
            raise InputError(f"cannot be fetched ({error})", file=url, cure=f"put it into {folder}") from error
        folder.mkdir(parents=True, exist_ok=True)
        if hashlib.sha256(content).hexdigest() == source.files[file]:
            put_file(place, content)
    else:
        content = read_bytes(place)
    if hashlib.sha256(content).hexdigest() != source.files[file]:
        raise InputError("its SHA-256 is not the known one", file=place, cure="fetch it again")
    return unpacked(content, place, most=MOST_UNPACKED, cure="fetch it again") if file.endswith(".gz") else content


def _text_of(content: bytes, path: Path) -> str:
    with whole(path):
        return content.decode("utf-8-sig")


def _rows(source: Source, contents: Mapping[str, bytes]) -> Iterator[Texts]:
    texts = {name: _text_of(content, Path(name)) for name, content in _whole_files(source, contents).items()}
    if source.reader == "parallel":
        columns = [text.splitlines() for text in texts.values()]
        yield from _drawn(columns, source.each) if source.each else _side_by_side(columns)
    elif source.reader == "table":
        for name, text in texts.items():
            with whole(Path(name), f"give tab-separated columns, {', '.join(map(str, source.columns))} among them"):
                yield from _cells(text, source)
    else:
        for text in texts.values():
            yield from _sentences(text)


def _whole_files(source: Source, contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the contents of files by name. Archives are replaced by their members, in the order of their names."""
    found = dict[str, bytes]()
    for file, content in contents.items():
        if not file.endswith(ARCHIVE):
            found[file] = content
            continue
        with whole(Path(file)), tarfile.open(fileobj=io.BytesIO(content)) as archive:
            named = {member.name: member for member in archive if member.isfile()}
            for name in sorted(fnmatch.filter(named, source.members)):
                found[name] = cast(IO[bytes], archive.extractfile(named[name])).read()
    return found


def _side_by_side(columns: list[list[str]]) -> Iterator[Texts]:
    for two in zip(columns[::2], columns[1::2], strict=True):
        yield from zip(*two, strict=True)


def _drawn(columns: list[list[str]], each: int) -> Iterator[Texts]:
    draw = random.Random(0)
    for line in zip(*columns, strict=True):
        yield from draw.sample(list(combinations(line, 2)), each)


def _cells(text: str, source: Source) -> Iterator[Texts]:
    quoting: Literal[0, 3] = csv.QUOTE_NONE if source.quotes == "plain" else csv.QUOTE_MINIMAL
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=quoting)
    header = [] if isinstance(source.columns[0], int) else next(rows)
    places = [column if isinstance(column, int) else header.index(column) for column in source.columns]
    yield from (tuple(row[place] for place in places) for row in rows if len(row) > max(places))


def _sentences(text: str) -> Iterator[Texts]:
    for line in BREAK.sub("\n", text).splitlines():
        for sentence in re.split(r"(?<=[.!?]) +(?=[A-Z\"'(])", line.strip()):
            if "<unk>" not in sentence and not sentence.startswith("=") and len(sentence.split()) in WORDS:
                yield (sentence,)
