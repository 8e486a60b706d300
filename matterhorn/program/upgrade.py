"""Reading what earlier versions wrote: programs of formats 1 and 2 and quantized networks, written anew in today's."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from ..errors import InputError
from .config import Config
from .files import (
    CONFIG_FILE,
    EMBEDDINGS_FILE,
    MODEL_FILE,
    ROWS_FILE,
    from_disk,
    replace_rows,
    sha256,
)
from .hub import TOKENIZER_FILE
from .program import Program
from .saving import save

WORDS = (
    (re.compile(r"\bfeed_forward\.input\b"), "hidden"),
    (re.compile(r"\b(attention|feed_forward)\."), ""),
    (re.compile(r"\bmixed\b"), "context"),
    (re.compile(r"\bmiddle\b"), "intermediate"),
    (re.compile(r"\breads\b"), "silent_value"),
    (re.compile(r"\bstep\b"), "scale"),
)
"""Parts of array names, old and new; quantized networks had modules in modules."""

KEYS = {"weight_bits": "weights", "stored_bits": "kv_bits", "narrower": "dead_zones"}
"""Keys of a config, old and new."""

WIDTHS = {"1": "int1", "ternary": "ternary", "2": "int2", "4": "int4"}
OTHER_FILES = ("results.json", "recipe.yaml", "README.md")


def upgrade(old: Path, new: Path, *, embeddings: str | None = None) -> str:
    """Read a folder of an earlier version and write it to ``new``; says what it was.

    Args:
        embeddings: where a program's embeddings go, relative to ``new`` (default: where they were).

    Raises:
        InputError: it is no such folder, or ``new`` is there already.
    """
    path = old / CONFIG_FILE
    if not path.is_file():
        raise InputError("no network here", file=path, cure="give a folder that an earlier version wrote")
    if new.exists():
        raise InputError("already there", file=new, cure="name a new folder")
    plain = json.loads(path.read_text(encoding="utf-8"))
    kind = plain.get("model_type")
    if kind == "matterhorn-spiking" and plain.get("format") in (1, 2):
        program = read_program(old, plain)
        kept = {name: (old / name).read_text(encoding="utf-8") for name in OTHER_FILES if (old / name).is_file()}
        save(program, new, embeddings=embeddings or plain.get("embeddings", EMBEDDINGS_FILE), beside=kept)
        return f"a program of format {plain['format']}"
    if kind == "matterhorn" and "weight_bits" in plain:
        _write_quantized(old, plain, new)
        return "a quantized network"
    problem = f"a {kind!r} checkpoint of today, or none of ours"
    raise InputError(problem, file=path, field="model_type", cure="leave it as it is")


def read_program(folder: Path, plain: dict[str, Any]) -> Program:
    """A program of format 1 or 2; ``plain``: its ``config.json``."""
    for name, expected in (plain.get("sha256") or {}).items():
        if not (folder / name).is_file() or sha256(folder / name) != expected:
            raise InputError("missing, cut or altered", file=folder / name, cure="restore the file")
    config = Config(**network_of(plain))
    tables_file = folder / plain.get("embeddings", EMBEDDINGS_FILE)
    stored, tables = load_file(folder / MODEL_FILE), load_file(tables_file)
    if (folder / ROWS_FILE).is_file():
        replace_rows(tables, load_file(folder / ROWS_FILE))
    arrays = from_disk({renamed(name): value for name, value in stored.items()}, config)
    places = (folder / TOKENIZER_FILE, Path(os.path.normpath(tables_file)).with_name(TOKENIZER_FILE))
    tokenizer = next((Tokenizer.from_file(str(place)) for place in places if place.is_file()), None)
    names = plain.get("id2label") or {str(i): f"LABEL_{i}" for i in range(len(arrays["classifier.bias"]))}
    return Program.from_arrays(
        config,
        arrays | {f"embeddings.{name}": table for name, table in tables.items()},
        labels=[str(name) for _, name in sorted((int(i), name) for i, name in names.items())],
        task=plain.get("task"),
        tokenizer=tokenizer,
    )


def _write_quantized(old: Path, plain: dict[str, Any], new: Path) -> None:
    """Rename arrays and keys of a network that is trained on; all other files are copied."""
    fresh = new.with_name(new.name + ".tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(old, fresh)
    arrays = load_file(fresh / MODEL_FILE)
    save_file({renamed(name): value for name, value in arrays.items()}, fresh / MODEL_FILE, metadata={"format": "pt"})
    rest = {key: value for key, value in plain.items() if key not in KEYS and key not in network_of(plain)}
    text = json.dumps(rest | network_of(plain), indent=1)
    (fresh / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
    os.replace(fresh, new)


def renamed(name: str) -> str:
    """Today's name of an array."""
    for word, now in WORDS:
        name = word.sub(now, name)
    return name


def network_of(plain: dict[str, Any]) -> dict[str, Any]:
    """The fields of :class:`.config.Config` in an old config."""
    found = {KEYS.get(key, key): value for key, value in plain.items()}
    found["weights"] = WIDTHS[str(found.get("weights", "1"))]
    found["dead_zones"] = {renamed(name): k for name, k in (found.get("dead_zones") or {}).items()}
    return {field.name: found[field.name] for field in fields(Config) if field.name in found}
