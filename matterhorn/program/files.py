"""A program's folder: packed arrays, checksums, tokenizer, and embeddings that several programs may share.

``config.json``: ``format``, the network's config, labels, task, ``embeddings`` (file, relative to the folder) and
``sha256`` of every file with arrays. ``model.safetensors``: packed weights, thresholds, silent levels. Tokenizer files
lie beside them, or beside the embeddings that several programs share. A program whose embeddings differ from the shared
ones in some rows keeps those rows in ``own-rows.safetensors``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as as_bytes
from tokenizers import Tokenizer

from ..errors import InputError
from ..topology import STATIC
from .config import Config
from .packing import pack, pack_even, unpack, unpack_even
from .parts import REACH
from .program import Program

FORMAT = 3
"""3: new names of populations and connections, labels as a list."""

MODEL_TYPE = "matterhorn-program"
MODEL_FILE, EMBEDDINGS_FILE, CONFIG_FILE = "model.safetensors", "embeddings.safetensors", "config.json"
ROWS_FILE, TOKENIZER_FILES = "own-rows.safetensors", ("tokenizer.json", "tokenizer_config.json")

GENERAL = "general"
"""Task of an encoder that was trained for none."""

Arrays = dict[str, NDArray[Any]]


def folders() -> list[Path]:
    """Where models are looked for by name: ``$MATTERHORN_MODELS``, the package's own, the checkout's ``models``."""
    named = os.environ.get("MATTERHORN_MODELS", "")
    package = Path(__file__).parents[1]
    return [*(Path(part) for part in named.split(os.pathsep) if part), package / "shipped", package.parent / "models"]


def shipped() -> list[str]:
    """Names of the models that can be loaded by name."""
    return sorted({path.parent.name for folder in folders() for path in folder.glob(f"*/{CONFIG_FILE}")})


def find(name: str | Path) -> Path:
    """Folder of a model: one that is known by its name, else a folder.

    Raises:
        InputError: there is neither.
    """
    named = [folder / str(name) for folder in folders()] if Path(name).name == str(name) else []
    for place in named:
        if (place / CONFIG_FILE).is_file():
            return place
    if Path(name).is_dir():
        return Path(name)
    cure = f"give a folder or one of: {', '.join(shipped()) or 'none shipped'}"
    raise InputError(f"no model {str(name)!r}", field="model", cure=cure)


def load(name: str | Path) -> Program:
    """A program from a folder, or a shipped one by its name.

    >>> load("sst2").labels
    ('negative', 'positive')

    Raises:
        InputError: there is none, or a file is missing, cut, altered or of another format.
    """
    folder = find(name)
    plain = read_config(folder)
    try:
        config = Config(**plain["network"])
    except (TypeError, InputError) as error:
        raise InputError(str(error), file=folder / CONFIG_FILE, field="network", cure="convert again") from error
    for file, expected in plain["sha256"].items():
        _check(folder / file, expected)
    try:
        stored, tables = load_file(folder / MODEL_FILE), load_file(folder / plain["embeddings"])
        if ROWS_FILE in plain["sha256"]:
            replace_rows(tables, load_file(folder / ROWS_FILE))
    except SafetensorError as error:
        raise InputError(f"not a safetensors file ({error})", file=folder, cure="restore the file") from error
    arrays = from_disk(stored, config) | {f"embeddings.{name}": table for name, table in tables.items()}
    file = _tokenizer_file(folder, plain["embeddings"])
    try:
        return Program.from_arrays(
            config,
            arrays,
            labels=plain["labels"],
            task=plain["task"],
            tokenizer=Tokenizer.from_file(str(file)) if file else None,
            path=folder,
            problem_type=plain.get("problem_type"),
        )
    except InputError as error:
        raise InputError(str(error), file=folder / MODEL_FILE) from error


def load_classifier(name: str | Path) -> Program:
    """As :func:`load`, but a general encoder, whose classifier was never trained, is refused."""
    program = load(name)
    if program.task == GENERAL:
        cure = "train a task from it (start: general)"
        raise InputError("a general encoder, no classifier", file=program.path, field="task", cure=cure)
    return program


def read_config(folder: Path) -> dict[str, Any]:
    """A program's ``config.json``, checked for its format."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InputError("no program here", file=path, cure="give a shipped model's name or a program's folder")
    try:
        plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON ({error})", file=path, cure="restore the file") from error
    kind = plain.get("model_type")
    if kind == "matterhorn-spiking":
        cure = "run matterhorn upgrade OLD NEW"
        raise InputError(f"format {plain.get('format')} of an earlier version", file=path, field="format", cure=cure)
    if kind != MODEL_TYPE:
        cure = "run matterhorn convert first" if kind == "matterhorn" else "give a program's folder"
        raise InputError(f"a {kind!r} checkpoint, not a program", file=path, field="model_type", cure=cure)
    if plain.get("format") != FORMAT:
        raise InputError(f"format {plain.get('format')}", file=path, field="format", cure="update matterhorn-snn")
    missing = [key for key in ("network", "labels", "task", "embeddings", "sha256") if key not in plain]
    if missing:
        raise InputError("missing", file=path, field=missing[0], cure="convert again")
    return plain


def save(
    program: Program, folder: Path, *, embeddings: str = EMBEDDINGS_FILE, beside: Mapping[str, str] | None = None
) -> None:
    """Write a program's folder, whole or not at all.

    Args:
        embeddings: where the embeddings go, relative to ``folder``. Of a file that is there already (of another
            program) only the rows that differ are written beside the program.
        beside: further text files, by name.
    """
    fresh = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    arrays = dict(program.arrays())
    tables = {k.removeprefix("embeddings."): v for k, v in arrays.items() if k.startswith("embeddings.")}
    (fresh / MODEL_FILE).write_bytes(as_bytes(_to_disk(arrays, program.config)))
    own = "/" not in embeddings
    shelf = Path(os.path.normpath((fresh if own else folder) / embeddings))
    if own or not shelf.exists():
        shelf.parent.mkdir(parents=True, exist_ok=True)
        shelf.write_bytes(as_bytes(tables))
    elif rows := differing_rows(tables, load_file(shelf), shelf):
        (fresh / ROWS_FILE).write_bytes(as_bytes(rows))
    _write_tokenizer(program, fresh, shelf.parent)
    checksums = {path.name: sha256(path) for path in sorted(fresh.glob("*.safetensors"))} | {embeddings: sha256(shelf)}
    plain = {
        "format": FORMAT,
        "model_type": MODEL_TYPE,
        "architectures": ["ProgramForSequenceClassification"],
        "task": program.task,
        "labels": list(program.labels),
        "problem_type": program.problem_type,
        "embeddings": embeddings,
        "network": program.config.plain(),
        "sha256": checksums,
    }
    (fresh / CONFIG_FILE).write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    for name, text in (beside or {}).items():
        (fresh / name).write_text(text, encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(fresh, folder)


def _write_tokenizer(program: Program, fresh: Path, shared: Path) -> None:
    """Lay the tokenizer's files beside the program, but for those that lie beside the embeddings it shares."""
    if program.tokenizer is None:
        return
    own = {TOKENIZER_FILES[0]: program.tokenizer.to_str()}
    source = program.path and _tokenizer_file(program.path, read_config(program.path)["embeddings"])
    if source and (settings := source.with_name(TOKENIZER_FILES[1])).is_file():
        own[TOKENIZER_FILES[1]] = settings.read_text(encoding="utf-8")
    for name, text in own.items():
        there = shared / name
        compact = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
        if not there.is_file() or there.read_text(encoding="utf-8") != compact:
            (fresh / name).write_text(compact, encoding="utf-8")


def _tokenizer_file(folder: Path, embeddings: str) -> Path | None:
    """A program's tokenizer: in its own folder, or beside the embeddings that it shares."""
    places = folder, Path(os.path.normpath(folder / embeddings)).parent
    return next((place / TOKENIZER_FILES[0] for place in places if (place / TOKENIZER_FILES[0]).is_file()), None)


def differing_rows(tables: Arrays, shared: Arrays, shelf: Path) -> Arrays:
    """Numbers (``<table>.rows``, int32) and contents (``<table>.values``) of rows that ``shared`` holds otherwise."""
    found: Arrays = {}
    for name, own in tables.items():
        other = shared.get(name)
        if other is None or other.shape != own.shape or other.dtype != own.dtype:
            cure = "give --embeddings another name"
            raise InputError("holds embeddings of another kind", file=shelf, field=name, cure=cure)
        rows = np.flatnonzero((own != other).reshape(len(own), -1).any(1))
        if len(rows):
            found |= {f"{name}.rows": rows.astype(np.int32), f"{name}.values": np.ascontiguousarray(own[rows])}
    return found


def replace_rows(tables: Arrays, rows: Arrays) -> None:
    """Put the rows that :func:`differing_rows` found in their places."""
    for key in rows:
        name, kind = key.rsplit(".", 1)
        if kind == "rows":
            tables[name][rows[key]] = rows[f"{name}.values"]


def _to_disk(arrays: Arrays, config: Config) -> Arrays:
    """Weights and even thresholds packed, whole numbers as narrow as they fit, everything else as it is; no
    embeddings."""
    stored: Arrays = {}
    packed = tuple(f".{name}.weights" for name in STATIC)
    for name, value in arrays.items():
        if name.startswith("embeddings."):
            continue
        if name.endswith(packed):
            value = pack(value, config.weights)
        elif name.endswith(".offset"):
            value = value.astype(np.int16) if int(np.abs(value).max()) < 2**15 else value
        elif name.endswith(".thresholds"):
            if even := pack_even(value):
                stored[f"{name}.ends"], stored[f"{name}.off"] = _narrow(even[0]), even[1]
                continue
            value = _narrow(value)
        elif name.endswith((".silent", ".silent_value")):
            value = value.astype(np.uint8) if int(value.min()) >= 0 and int(value.max()) < 256 else value
        elif name.endswith(".table"):  # whole numbers up to 2¹⁴
            value = value.astype(np.int16)
        stored[name] = value
    return {name: np.asarray(value, order="C") for name, value in stored.items()}  # as safetensors writes them


def _narrow(thresholds: NDArray[np.int32]) -> NDArray[Any]:
    """Thresholds in int16 where those that can be reached fit; those that cannot be reached stay out of reach."""
    limit = 2**15 - 1
    reachable = thresholds[np.abs(thresholds) < REACH]
    if reachable.size and int(np.abs(reachable).max()) >= limit:
        return thresholds
    return thresholds.clip(-limit, limit).astype(np.int16)


def from_disk(stored: Arrays, config: Config) -> Arrays:
    """Undo :func:`_to_disk`."""
    arrays: Arrays = {}
    packed = tuple(f".{name}.weights" for name in STATIC)
    for name, value in stored.items():
        if name.endswith(".ends") and name.removesuffix("ends") + "off" in stored:
            bits = config.kv_bits if ".keys." in name or ".values." in name else config.activation_bits
            off = stored[name.removesuffix("ends") + "off"]
            arrays[name.removesuffix(".ends")] = unpack_even(value, off, 2**bits - 1)
        elif name.endswith(packed):
            fan_in, _ = config.shape.fans(name.split(".")[-2])
            arrays[name] = unpack(value, config.weights, fan_in)
        elif name.endswith(".thresholds"):
            arrays[name] = value.astype(np.int32)
        elif name.endswith(".table"):
            arrays[name] = value.astype(np.float32)
        elif not name.endswith(".off"):
            arrays[name] = value
    return arrays


def _check(path: Path, expected: str) -> None:
    if not path.is_file():
        raise InputError("missing", file=path, cure="copy the whole program")
    if sha256(path) != expected:
        cure = "restore the file; it was cut or altered"
        raise InputError(f"checksum differs from {CONFIG_FILE}", file=path, field="sha256", cure=cure)


def sha256(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
