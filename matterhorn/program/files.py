"""A program's folder: packed arrays, manifest, tokenizer, and embeddings that several programs may share.

``config.json`` has the ``format``, the network's config, labels, task, number of ``texts`` per row (if known), and
``embeddings`` (the file's path, relative to the folder).

``model.safetensors`` has packed weights, thresholds and silent levels. If a program's embeddings differ from the shared
ones in some rows, these rows are in ``own-rows.safetensors``.

``manifest.json`` (:mod:`matterhorn.storage.manifest`) has checksums of all files that are read, including shared
embeddings. Instead of the bytes of the tokenizer's file, what the tokenizer does must match
(:func:`.hub.tokenizer_hash`), so that other libraries may rewrite the file.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from tokenizers import Tokenizer

from ..errors import InputError
from ..reading import Strict, parse_arrays, parse_mapping, read_mapping, validated, whole
from ..storage import MANIFEST_FILE, Manifest, manifest_of, sha256, unmixed
from ..storage.manifest import checked
from .config import Config
from .decision import ProblemType, check_classifier
from .disk import from_disk
from .embeddings import MODEL_FILE, ROWS_FILE, replace_rows
from .hub import CODE_FILE, TOKENIZER_FILE, tokenizer_hash
from .program import Program
from .remote import fetch, is_remote
from .sizes import check_packed
from .text import read_tokenizer

PROGRAM_FORMAT = 4
"""Version of the format. Version 4 added checksums in a manifest. Version 3 renamed populations and connections, and
made labels a list.
"""

KIND = "program"
"""Kind of the manifest."""

MODEL_TYPE = "matterhorn-program"
EARLIER_TYPE = "matterhorn-spiking"
"""Model type in formats 1 and 2."""

CONFIG_FILE = "config.json"

SHORTEST = 8
"""Minimum number of digits of a hash by which a program is identified."""


def folders() -> list[Path]:
    """List the folders in which models are looked up by name.

    They are those in ``$MATTERHORN_MODELS``, the package's own folder, and ``models`` in a source checkout, in this
    order.

    Raises:
        InputError: ``$MATTERHORN_MODELS`` names a folder that does not exist.
    """
    named = [Path(part) for part in os.environ.get("MATTERHORN_MODELS", "").split(os.pathsep) if part]
    for folder in named:
        if not folder.is_dir():
            raise InputError("no such folder", file=folder, field="MATTERHORN_MODELS", cure="name folders of models")
    package = Path(__file__).parents[1]
    is_checkout = (package.parent / "pyproject.toml").is_file()
    return [*named, package / "shipped", *([package.parent / "models"] if is_checkout else [])]


def shipped() -> list[str]:
    """List the names of all programs that :func:`load` finds by name, including damaged ones and older formats."""
    places = (path for folder in folders() for path in folder.glob(f"*/{CONFIG_FILE}"))
    return sorted({path.parent.name for path in places if _is_programs(path)})


def _is_programs(config: Path) -> bool:
    """Whether a ``config.json`` belongs to a program. One that cannot be read is assumed to."""
    try:
        return read_mapping(config).get("model_type") in (MODEL_TYPE, EARLIER_TYPE)
    except InputError:
        return True


def find(name: str | Path) -> Path:
    """Find the folder of a model.

    Args:
        name: a string may be the name of a model in one of :func:`folders`, the path of a folder, or ``owner/name`` or
            ``owner/name@revision`` on the hub. They are tried in this order. A hub model is downloaded if it is not in
            the local cache. A ``Path``, and a string with a slash such as ``./sst2``, is never the name of a model in
            :func:`folders`; a ``Path`` is none on the hub either.

    Raises:
        InputError: there is no such model.
    """
    cure = f"give a folder or one of: {', '.join(shipped()) or 'none shipped'}"
    if not isinstance(name, (str, os.PathLike)):  # (os.path.isdir takes an integer as a file descriptor)
        raise InputError(f"a {type(name).__name__}, not a model", field="model", cure=cure)
    if isinstance(name, str) and (place := named(name)):
        if (Path(name) / CONFIG_FILE).is_file() and not Path(name).samefile(place):
            text = f"{name!r} is taken as the model in {place}; write './{name}' for the folder of this name"
            warnings.warn(text, stacklevel=2)
        return place
    if os.path.isdir(name):
        return Path(name)
    if isinstance(name, str) and is_remote(name):
        return fetch(name)
    raise InputError(f"no model {str(name)!r}", field="model", cure=cure)


def named(name: str) -> Path | None:
    """Return the folder of a model that is known by its name. None: there is none."""
    if name in ("", ".", "..") or set(name) & {"/", "\0", os.sep}:
        return None
    return next((place for folder in folders() if os.path.isfile((place := folder / name) / CONFIG_FILE)), None)


def spelled(folder: Path) -> str:
    """Return the path of a folder such that :func:`find` does not take it for the name of another model."""
    return f".{os.sep}{folder}" if named(str(folder)) else str(folder)


def load(name: str | Path, *, hash: str | None = None) -> Program:
    """Load a program from a folder, by its shipped name, or from the Hugging Face hub.

    >>> load("sst2").labels
    ('negative', 'positive')

    Args:
        name: path of a program's folder, name of a shipped program such as ``"sst2"``, or ``owner/name`` or
            ``owner/name@revision`` on the hub. Names are looked up in ``$MATTERHORN_MODELS``, in the package, and in
            the ``models`` folder of a source checkout, in this order. A name that is found there takes precedence over
            a folder of the same name, with a warning; ``"./sst2"`` and ``Path("sst2")`` are always the folder.
        hash: expected hash of the program (``matterhorn info`` prints it), or at least its first eight hexadecimal
            digits. None: the hash is not checked.

    Returns:
        The program, with every file checked against the SHA-256 in its manifest. The tokenizer file may differ, as long
        as it makes the same tokens.

    Raises:
        InputError: there is no such program; its hash is not ``hash``; or a file is missing, truncated, altered, not
            listed in the manifest, or of another format version.
    """
    if not (hash is None or isinstance(hash, str)):
        raise InputError(
            f"a {type(hash).__name__}, not a text", field="hash", cure='give its digits in quotes: hash="…"'
        )
    folder = find(name)
    program = unmixed(folder, lambda: _load(folder))
    if hash is not None and (len(hash) < SHORTEST or not program.hash.startswith(hash.lower())):
        problem = f"the program here is {program.hash[:12]}…, not {hash}"
        raise InputError(problem, file=folder, field="hash", cure="give the intended revision, or drop the hash")
    return program


def _load(folder: Path) -> Program:
    plain, manifest = _opened(folder)
    if CODE_FILE in manifest.files or (folder / CODE_FILE).exists():
        manifest.read(folder, CODE_FILE)

    def read(file: str) -> bytes:
        if file != plain["embeddings"] or file in manifest.files:
            return manifest.read(folder, file)
        expected = manifest.about.get("embeddings", "")
        return checked(find_embeddings(folder, file, expected), expected)

    tokenizer, expected = tokenizer_in(folder), manifest.about.get("tokenizer")
    same_file = tokenizer is not None and sha256(folder / TOKENIZER_FILE) == manifest.files.get(TOKENIZER_FILE)
    found = None if tokenizer is None else expected or "" if same_file else tokenizer_hash(tokenizer)
    if found != expected:
        problem = "missing" if found is None else f"makes other tokens than {MANIFEST_FILE} says"
        raise InputError(problem, file=folder / TOKENIZER_FILE, field="tokenizer", cure="restore the file")
    return assembled(folder, plain, read, tokenizer, own_rows=ROWS_FILE in manifest.files)


def assembled(
    folder: Path, plain: Mapping[str, Any], read: Callable[[str], bytes], tokenizer: Tokenizer | None, *, own_rows: bool
) -> Program:
    """Assemble the program in a folder.

    Args:
        folder: the folder.
        plain: its ``config.json``, parsed.
        read: returns the content of a file, given its name.
        tokenizer: its tokenizer, if any.
        own_rows: whether it has embedding rows of its own.

    Raises:
        InputError: something in it is not possible.
    """
    config = config_of(plain["network"], folder / CONFIG_FILE)
    names = [MODEL_FILE, plain["embeddings"], *([ROWS_FILE] if own_rows else [])]
    stored, tables, *rows = (parse_arrays(read(name), folder / name) for name in names)
    with whole(folder / MODEL_FILE):
        for own in rows:
            replace_rows(tables, own)
        check_packed(stored, config, folder / MODEL_FILE)
        arrays = from_disk(stored, config) | {f"embeddings.{name}": table for name, table in tables.items()}
    about: dict[str, Any] = {name: plain.get(name) for name in ("labels", "task", "problem_type", "texts")}
    try:
        return Program.from_arrays(config, arrays, tokenizer=tokenizer, path=folder, **about)
    except InputError as error:
        raise InputError(str(error), file=folder / (CONFIG_FILE if error.field in about else MODEL_FILE)) from error


def tokenizer_in(folder: Path) -> Tokenizer | None:
    """Read the tokenizer in a folder. None: there is none.

    Raises:
        InputError: it cannot be read.
    """
    path = folder / TOKENIZER_FILE
    return read_tokenizer(path) if path.is_file() else None


def load_classifier(name: str | Path) -> Program:
    """Load a program as :func:`load` does, but refuse a general encoder, whose classifier was never trained."""
    program = load(name)
    check_classifier(program.task, program.path)
    return program


def read_config(folder: Path) -> dict[str, Any]:
    """Read and check a program's ``config.json``.

    Raises:
        InputError: there is none, it was altered, or it is of another format.
    """
    return unmixed(folder, lambda: _opened(folder)[0])


def _opened(folder: Path) -> tuple[dict[str, Any], Manifest]:
    """Return a program's ``config.json``, and the manifest that it was checked by."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InputError("no program here", file=path, cure="give a shipped model's name or a program's folder")
    plain = read_mapping(path)
    kind = plain.get("model_type")
    if kind == EARLIER_TYPE or (kind == MODEL_TYPE and plain.get("format") == 3):
        cure = "run matterhorn upgrade OLD NEW"
        raise InputError(f"format {plain.get('format')} of an earlier version", file=path, field="format", cure=cure)
    if kind != MODEL_TYPE:
        cure = "run matterhorn convert first" if kind == "matterhorn" else "give a program's folder"
        raise InputError(f"a {kind!r} checkpoint, not a program", file=path, field="model_type", cure=cure)
    if plain.get("format") != PROGRAM_FORMAT:
        raise InputError(f"format {plain.get('format')}", file=path, field="format", cure="update matterhorn-snn")
    manifest = manifest_of(folder, KIND)
    plain = parse_mapping(manifest.read(folder, CONFIG_FILE), path)
    missing = [key for key in ("network", "labels", "task", "embeddings") if key not in plain]
    if missing:
        raise InputError("missing", file=path, field=missing[0], cure="convert again")
    validated(_Saved, {name: plain[name] for name in _Saved.model_fields if name in plain}, path, "restore the file")
    return plain, manifest


class _Saved(Strict):
    """Content of ``config.json`` that is checked when it is read, besides its format."""

    network: dict[str, Any]
    labels: list[str] = Field(min_length=1)
    task: str | None
    embeddings: str
    problem_type: ProblemType | None = None
    texts: Literal[1, 2] | None = None


def config_of(network: Mapping[str, Any], path: Path) -> Config:
    """Make the number formats from the values in a file.

    Raises:
        InputError: a value is missing, unknown or not possible. The message names file and field.
    """
    unknown = [name for name in network if name not in {field.name for field in fields(Config)}]
    if unknown:
        raise InputError("unknown key", file=path, field=f"network.{unknown[0]}", cure="convert again")
    try:
        return Config(**network)
    except InputError as error:
        raise InputError(str(error), file=path, field="network", cure="convert again") from error


def find_embeddings(folder: Path, name: str, expected: str) -> Path:
    """Find the embeddings file of a program.

    It is the file with this name relative to the folder. If that does not exist, it is the file of a known model with
    this name and the same content (``expected``: its SHA-256).
    """
    named = Path(name)
    known = [place / named.parent.name / named.name for place in folders()] if named.parent.name else []
    same = (path for path in known if path.is_file() and sha256(path) == expected)
    own = folder / named
    return own if own.is_file() else next(same, own)
