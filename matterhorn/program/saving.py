"""Writing a program's folder, so that nothing in it is ever half written or lost."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.numpy import load_file
from safetensors.numpy import save as as_bytes

from ..errors import InputError
from .files import (
    CONFIG_FILE,
    EMBEDDINGS_FILE,
    FORMAT,
    MODEL_FILE,
    MODEL_TYPE,
    ROWS_FILE,
    differing_rows,
    sha256,
    to_disk,
)
from .hub import CODE, CODE_FILE, TOKENIZER_FILE, auto_map, says_the_same, tokenizer_files
from .program import Program


def save(
    program: Program,
    folder: Path,
    *,
    embeddings: str = EMBEDDINGS_FILE,
    beside: Mapping[str, str] | None = None,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write a program's folder: all files aside first, then put in their places, ``config.json`` last. In a folder
    that is there already, an earlier program's arrays go and files of other names stay.

    Args:
        embeddings: where the embeddings go, relative to ``folder``. Of a file that is there already (of another
            program) only the rows that differ are written beside the program.
        beside: further text files, by name. about: further keys of ``config.json``.

    Raises:
        InputError: the folder holds another kind of model.
    """
    earlier = _own_files(folder)
    place = folder if folder.is_dir() else folder.parent
    place.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=place, prefix=".saving-") as aside:
        fresh = Path(aside)
        _write(program, fresh, folder, embeddings, beside or {}, about or {})
        folder.mkdir(exist_ok=True)
        for path in sorted(fresh.iterdir(), key=lambda path: path.name == CONFIG_FILE):
            earlier.discard(path.name)
            os.replace(path, folder / path.name)
    for name in earlier:
        (folder / name).unlink(missing_ok=True)


def _own_files(folder: Path) -> set[str]:
    """Files with arrays of the program that lies in a folder, if there is one."""
    if folder.exists() and not folder.is_dir():
        raise InputError("not a folder", file=folder, cure="give a folder's name")
    if not (folder / CONFIG_FILE).is_file():
        return set()
    try:
        plain = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except ValueError:
        plain = {}
    if plain.get("model_type") != MODEL_TYPE:
        problem = f"holds another model ({plain.get('model_type')})"
        raise InputError(problem, file=folder / CONFIG_FILE, field="model_type", cure="give a folder of its own")
    return {name for name in plain.get("sha256", {}) if Path(name).name == name}


def _write(
    program: Program,
    fresh: Path,
    folder: Path,
    embeddings: str,
    beside: Mapping[str, str],
    about: Mapping[str, Any],
) -> None:
    """Fill ``fresh`` with all files of a program that is to lie in ``folder``."""
    arrays = dict(program.arrays())
    tables = {k.removeprefix("embeddings."): v for k, v in arrays.items() if k.startswith("embeddings.")}
    (fresh / MODEL_FILE).write_bytes(as_bytes(to_disk(arrays, program.config)))
    own = "/" not in embeddings
    shelf = Path(os.path.normpath((fresh if own else folder) / embeddings))
    if own or not shelf.exists():
        shelf.parent.mkdir(parents=True, exist_ok=True)
        half = shelf.with_name(shelf.name + ".tmp")
        half.write_bytes(as_bytes(tables))
        os.replace(half, shelf)
    elif rows := differing_rows(tables, load_file(shelf), shelf):
        (fresh / ROWS_FILE).write_bytes(as_bytes(rows))
    texts = {CODE_FILE: CODE, **beside}
    if program.tokenizer is not None:
        words = tokenizer_files(program.tokenizer, program.config)
        there = folder / TOKENIZER_FILE
        if not there.is_file() or not says_the_same(there.read_text(encoding="utf-8"), words[TOKENIZER_FILE]):
            texts |= words
    for name, text in texts.items():
        (fresh / name).write_text(text, encoding="utf-8")
    hashed = [*sorted(path.name for path in fresh.glob("*.safetensors")), CODE_FILE]
    plain = {
        "format": FORMAT,
        "model_type": MODEL_TYPE,
        "architectures": ["ProgramForSequenceClassification"],
        "auto_map": auto_map("ProgramConfig", "ProgramForSequenceClassification"),
        "task": program.task,
        "labels": list(program.labels),
        "problem_type": program.problem_type,
        "embeddings": embeddings,
        "network": program.config.plain(),
        "sha256": {name: sha256(fresh / name) for name in hashed} | {embeddings: sha256(shelf)},
    }
    (fresh / CONFIG_FILE).write_text(json.dumps({**plain, **about}, indent=1) + "\n", encoding="utf-8")
