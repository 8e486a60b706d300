"""Upgrade folders that earlier versions wrote: programs of formats 1 to 3, and quantized networks."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from safetensors.numpy import save_file

from ..errors import InputError
from ..reading import LARGEST_ARRAYS, Strict, read_arrays, read_bytes, read_mapping, read_text, validated, whole
from ..storage import check_folder, put_folder
from ..storage.manifest import checked
from .config import Config
from .decision import ProblemType
from .disk import from_disk
from .embeddings import EMBEDDINGS_FILE, MODEL_FILE, ROWS_FILE, place_of, replace_rows
from .files import CONFIG_FILE, MODEL_TYPE, assembled, find_embeddings, tokenizer_in
from .hub import TOKENIZER_FILE
from .program import Program
from .saving import save
from .sizes import check_packed
from .text import read_tokenizer

WORDS = (
    (re.compile(r"\bfeed_forward\.input\b"), "hidden"),
    (re.compile(r"\b(attention|feed_forward)\."), ""),
    (re.compile(r"\bmixed\b"), "context"),
    (re.compile(r"\bmiddle\b"), "intermediate"),
    (re.compile(r"\breads\b"), "silent_value"),
    (re.compile(r"\bstep\b"), "scale"),
)
"""Parts of array names, old (as patterns) and new. Quantized networks had nested modules."""

KEYS = {"weight_bits": "weights", "stored_bits": "kv_bits", "narrower": "dead_zones"}
"""Keys of a config, old and new."""

WIDTHS = {"1": "int1", "ternary": "ternary", "2": "int2", "4": "int4"}
RESULTS_FILE = "results.json"
OTHER_FILES = (RESULTS_FILE, "recipe.yaml", "README.md")
UNCHECKED = (CONFIG_FILE, TOKENIZER_FILE, RESULTS_FILE)
"""Files that had no checksum in earlier formats."""
CURE = "restore the file that an earlier version wrote"


class _Old(Strict):
    """What is read of an earlier ``config.json``. Other keys are ignored; number formats are checked by
    :class:`.config.Config`.
    """

    model_config = ConfigDict(extra="ignore")

    sha256: dict[str, str] | None = None
    embeddings: str = EMBEDDINGS_FILE
    task: str | None = None
    labels: list[str] | None = None
    id2label: dict[Annotated[str, Field(pattern="^[0-9]{1,6}$")], str] | None = None
    problem_type: ProblemType | None = None
    network: dict[str, Any] | None = None
    weight_bits: Literal["1", "ternary", "2", "4", 1, 2, 4] | None = None
    narrower: dict[str, int] | None = None
    dead_zones: dict[str, int] | None = None


def upgrade(old: Path, new: Path, *, embeddings: str | None = None) -> str:
    """Read a folder of an earlier version and write it to ``new``. Returns a description of what was read.

    Args:
        old: the folder to read.
        new: the folder to write, which must not exist.
        embeddings: file of a program's embeddings, relative to ``new``. None: as in ``old``.

    Raises:
        InputError: ``old`` is not such a folder, or ``new`` exists.
    """
    path = old / CONFIG_FILE
    if not path.is_file():
        raise InputError("no network here", file=path, cure="give a folder that an earlier version wrote")
    if new.exists():
        raise InputError("already there", file=new, cure="name a new folder")
    check_folder(new, "program", old)
    plain = read_mapping(path)
    validated(_Old, plain, path, CURE)
    if embeddings is not None:
        place_of(embeddings, new)
    with whole(old, CURE):
        return _upgrade(old, plain, new, embeddings)


def _upgrade(old: Path, plain: dict[str, Any], new: Path, embeddings: str | None) -> str:
    kind, sums = plain.get("model_type"), plain.get("sha256") or {}
    if kind == "matterhorn-spiking" and plain.get("format") in (1, 2):
        program = read_program(old, plain)
    elif kind == MODEL_TYPE and plain.get("format") == 3:
        read = partial(_read, old, sums)
        program = assembled(old, plain, read, tokenizer_in(old), own_rows=(old / ROWS_FILE).is_file())
    elif kind == "matterhorn" and "weight_bits" in plain:
        _write_quantized(old, plain, new)
        return "a quantized network, which has no checksums"
    else:
        problem = f"a {kind!r} checkpoint, not one of an earlier version"
        raise InputError(problem, file=old / CONFIG_FILE, field="model_type", cure="leave it as it is")
    kept = {name: read_text(old / name) for name in OTHER_FILES if (old / name).is_file()}
    if RESULTS_FILE in kept:
        results = read_mapping(old / RESULTS_FILE, "correct it, or move it away")
        kept[RESULTS_FILE] = json.dumps(results | {"program": program.hash}, indent=1) + "\n"
    save(program, new, embeddings=embeddings or plain.get("embeddings", EMBEDDINGS_FILE), beside=kept)
    arrays = [name for name in (MODEL_FILE, ROWS_FILE, str(plain.get("embeddings"))) if (old / name).is_file()]
    unchecked = [name for name in (*UNCHECKED, *arrays) if name not in sums and (old / name).is_file()]
    return f"a program of format {plain['format']}, which had no checksum of {', '.join(unchecked)}"


def _read(folder: Path, sums: Mapping[str, str], name: str) -> bytes:
    """Read a file of format 3. Its checksum is checked if ``sums`` has one."""
    path = find_embeddings(folder, name, sums.get(name, ""))
    return checked(path, sums[name]) if name in sums else read_bytes(path, most=LARGEST_ARRAYS)


def read_program(folder: Path, plain: dict[str, Any]) -> Program:
    """Read a program of format 1 or 2. ``plain``: its ``config.json``, parsed."""
    for name, expected in (plain.get("sha256") or {}).items():
        checked(folder / name, expected)
    config = Config(**network_of(plain))
    tables_file = folder / plain.get("embeddings", EMBEDDINGS_FILE)
    stored, tables = read_arrays(folder / MODEL_FILE), read_arrays(tables_file)
    with whole(folder / MODEL_FILE):
        if (folder / ROWS_FILE).is_file():
            replace_rows(tables, read_arrays(folder / ROWS_FILE))
        stored = {renamed(name): value for name, value in stored.items()}
        check_packed(stored, config, folder / MODEL_FILE)
        arrays = from_disk(stored, config)
    places = (folder / TOKENIZER_FILE, Path(os.path.normpath(tables_file)).with_name(TOKENIZER_FILE))
    tokenizer = next((read_tokenizer(place) for place in places if place.is_file()), None)
    names = plain.get("id2label") or {str(i): f"LABEL_{i}" for i in range(len(arrays["classifier.bias"]))}
    return Program.from_arrays(
        config,
        arrays | {f"embeddings.{name}": table for name, table in tables.items()},
        labels=[str(name) for _, name in sorted((int(i), name) for i, name in names.items())],
        task=plain.get("task"),
        tokenizer=tokenizer,
    )


def _write_quantized(old: Path, plain: dict[str, Any], new: Path) -> None:
    """Write a quantized network, which can be trained further, with new names of arrays and keys. All other files are
    copied.
    """
    arrays = {renamed(name): value for name, value in read_arrays(old / MODEL_FILE).items()}
    rest = {key: value for key, value in plain.items() if key not in KEYS and key not in network_of(plain)}

    def write(fresh: Path) -> None:
        for path in old.iterdir():
            if path.is_file():
                shutil.copy(path, fresh)
        save_file(arrays, fresh / MODEL_FILE, metadata={"format": "pt"})
        (fresh / CONFIG_FILE).write_text(json.dumps(rest | network_of(plain), indent=1) + "\n", encoding="utf-8")

    put_folder(new, "network", write)


def renamed(name: str) -> str:
    """Return the present name of an array."""
    for word, now in WORDS:
        name = word.sub(now, name)
    return name


def network_of(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of :class:`.config.Config` in an old config."""
    found = {KEYS.get(key, key): value for key, value in plain.items()}
    found["weights"] = WIDTHS[str(found.get("weights", "1"))]
    found["dead_zones"] = {renamed(name): k for name, k in (found.get("dead_zones") or {}).items()}
    return {field.name: found[field.name] for field in fields(Config) if field.name in found}
