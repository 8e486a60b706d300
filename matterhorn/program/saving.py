"""Write a program's folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import save as as_bytes

from ..reading import LARGEST_ARRAYS, Arrays, parse_arrays, read_bytes, read_text
from ..storage import Manifest, put_first, put_folder, read_manifest
from .disk import to_disk
from .embeddings import EMBEDDINGS_FILE, MODEL_FILE, ROWS_FILE, differing_rows, place_of
from .files import CONFIG_FILE, KIND, MODEL_TYPE, PROGRAM_FORMAT, tokenizer_in
from .hub import CODE, CODE_FILE, auto_map, tokenizer_files, tokenizer_hash
from .program import Program


def save(
    program: Program,
    folder: Path,
    *,
    embeddings: str = EMBEDDINGS_FILE,
    beside: Mapping[str, str | bytes] | None = None,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write a program's folder, completely or not at all (:func:`~matterhorn.storage.put_folder`).

    In an existing folder, an earlier program is replaced. Other files stay, including a tokenizer that makes the same
    tokens.

    Args:
        program: the program.
        folder: the folder.
        embeddings: file for the embeddings, relative to ``folder``. If another program's file is there already, only
            the rows that differ are written, into the program's own folder.
        beside: contents of other files, by name.
        about: other keys of ``config.json``.

    Raises:
        InputError: the folder holds another kind of model, or other files where the program's would go; or
            ``embeddings`` is not possible.
    """
    embeddings, shared_file = place_of(embeddings, folder)
    tables = {k.removeprefix("embeddings."): v for k, v in program.arrays().items() if k.startswith("embeddings.")}
    rows: Arrays = {}
    shared = None
    if "/" in embeddings:
        content = _shared(tables, shared_file)
        rows = differing_rows(tables, parse_arrays(content, shared_file), shared_file)
        shared = hashlib.sha256(content).hexdigest()

    def write(fresh: Path) -> None:
        (fresh / MODEL_FILE).write_bytes(as_bytes(to_disk(dict(program.arrays()), program.config)))
        if "/" not in embeddings:
            (fresh / embeddings).write_bytes(as_bytes(tables))
        elif rows:
            (fresh / ROWS_FILE).write_bytes(as_bytes(rows))
        (fresh / CODE_FILE).write_bytes(CODE.encode())
        config = _config(program, embeddings) | dict(about or {})
        files = {
            CONFIG_FILE: json.dumps(config, indent=1) + "\n",
            **(beside or {}),
            **_tokenizer_files(program, folder),
        }
        for name, content in files.items():
            (fresh / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    put_folder(folder, KIND, write, dependencies(program, shared))


def _shared(tables: Arrays, file: Path) -> bytes:
    """Return the content of a file of shared embeddings. If there is no such file, it is written with ``tables``."""
    if not file.exists():
        put_first(file, as_bytes(tables))
    return read_bytes(file, most=LARGEST_ARRAYS)


def dependencies(program: Program, embeddings: str | None) -> dict[str, str]:
    """Return the hashes that a program's manifest has besides those of its files.

    ``embeddings``: SHA-256 of the file of shared embeddings, if any.
    """
    tokenizer = {"tokenizer": tokenizer_hash(program.tokenizer)} if program.tokenizer else {}
    return {"program": program.hash} | tokenizer | ({"embeddings": embeddings} if embeddings else {})


def _config(program: Program, embeddings: str) -> dict[str, Any]:
    """Return the content of ``config.json``."""
    texts = {} if program.texts is None else {"texts": program.texts}
    return {
        "format": PROGRAM_FORMAT,
        "model_type": MODEL_TYPE,
        "architectures": ["ProgramForSequenceClassification"],
        "auto_map": auto_map("ProgramConfig", "ProgramForSequenceClassification"),
        "task": program.task,
        "labels": list(program.labels),
        "problem_type": program.problem_type,
        "embeddings": embeddings,
        "network": program.config.plain(),
    } | texts


def _tokenizer_files(program: Program, folder: Path) -> dict[str, str]:
    """Return the contents of the tokenizer's files.

    If the folder has a tokenizer that makes the same tokens, those of its files that the folder's manifest lists stay
    as they are, with settings that the user changed. Files that are not in the manifest are left alone.
    """
    if program.tokenizer is None:
        return {}
    files = tokenizer_files(program.tokenizer, program.config)
    present, ours = tokenizer_in(folder), (read_manifest(folder) or Manifest()).files
    if present is None or tokenizer_hash(present) != tokenizer_hash(program.tokenizer):
        return files
    kept = {name: folder / name for name in files if name in ours}
    return {name: read_text(path) if path.is_file() else files[name] for name, path in kept.items()}
