"""The spiking checkpoint: a folder with packed weights, checksums, and embeddings that several models may share.

``config.json``: the network's config, ``embeddings`` (file, relative to the folder) and ``sha256`` of every file.
``model.safetensors``: packed weights, thresholds, silent levels. Tokenizer files lie beside them, or beside the
embeddings that several models share. A network whose embeddings differ from the shared ones in some rows keeps those
rows in ``own-rows.safetensors``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import InputError
from .config import MatterhornConfig
from .packing import pack, pack_even, unpack, unpack_even
from .spiking import REACH, Connection, Population, SpikingNetwork

FORMAT, READABLE = 2, (1, 2)
"""2: evenly spaced thresholds packed, silent levels in a byte, offsets in two."""

MODEL_FILE, EMBEDDINGS_FILE, CONFIG_FILE = "model.safetensors", "embeddings.safetensors", "config.json"
ROWS_FILE, TOKENIZER_FILE = "own-rows.safetensors", "tokenizer.json"

GENERAL = "general"
"""Task of an encoder that was trained for none."""


class SpikingConfig(MatterhornConfig):
    """Config of a spiking checkpoint; ``embeddings``, ``sha256``, ``format`` and ``task`` describe the folder."""

    model_type = "matterhorn-spiking"

    def __init__(
        self,
        format: int = FORMAT,
        task: str | None = None,
        embeddings: str = EMBEDDINGS_FILE,
        sha256: dict[str, str] | None = None,
        **kwargs: Any,
    ):
        self.format, self.task, self.embeddings, self.sha256 = format, task, embeddings, sha256 or {}
        super().__init__(**kwargs)


def save_spiking(
    network: SpikingNetwork,
    folder: Path,
    *,
    task: str | None,
    embeddings: str = EMBEDDINGS_FILE,
    extra: Sequence[Path] = (),
) -> None:
    """Write a checkpoint folder, whole or not at all.

    Args:
        embeddings: where the embeddings go, relative to ``folder``. Of a file that is there already (of another model)
            only the rows that differ are written beside the model.
        extra: JSON files to lay beside (tokenizer), without their white space; beside shared embeddings where there
            are none that differ.
    """
    fresh = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file(_to_disk(network), fresh / MODEL_FILE, metadata={"format": "pt"})
    tables = {k: v.contiguous() for k, v in network.embeddings.state_dict().items()}
    own = "/" not in embeddings
    shelf = Path(os.path.normpath((fresh if own else folder) / embeddings))
    if own or not shelf.exists():
        shelf.parent.mkdir(parents=True, exist_ok=True)
        save_file(tables, shelf)
    elif own_rows := differing_rows(tables, load_file(shelf), shelf):
        save_file(own_rows, fresh / ROWS_FILE)
    for path in extra:
        compact = json.dumps(json.loads(path.read_text(encoding="utf-8")), ensure_ascii=False, separators=(",", ":"))
        shared = (fresh if own else shelf.parent) / path.name
        if not shared.is_file():
            shared.write_text(compact, encoding="utf-8")
        elif shared.read_text(encoding="utf-8") != compact:
            (fresh / path.name).write_text(compact, encoding="utf-8")
    plain = {
        k: v for k, v in network.config.to_diff_dict().items() if k not in ("model_type", "architectures", "format")
    }
    checksums = {path.name: _sha256(path) for path in sorted(fresh.glob("*.safetensors"))} | {
        embeddings: _sha256(shelf)
    }
    config = SpikingConfig(**(plain | {"task": task, "embeddings": embeddings, "sha256": checksums}))
    config.architectures = ["SpikingForSequenceClassification"]
    (fresh / CONFIG_FILE).write_text(json.dumps(config.to_diff_dict() | {"model_type": config.model_type}, indent=1))
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(fresh, folder)


def load_config(folder: Path) -> SpikingConfig:
    """Read and check a checkpoint's config."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InputError("no checkpoint here", file=path, cure="give a shipped model's name or a checkpoint folder")
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON ({error})", file=path, cure="restore the file") from error
    if plain.get("model_type") != SpikingConfig.model_type:
        kind = plain.get("model_type")
        cure = "run matterhorn convert first" if kind == "matterhorn" else "give a spiking checkpoint"
        raise InputError(f"a {kind!r} checkpoint, not a spiking one", file=path, field="model_type", cure=cure)
    if plain.get("format") not in READABLE:
        raise InputError(f"format {plain.get('format')}", file=path, field="format", cure="update matterhorn-snn")
    try:
        return SpikingConfig(**plain)
    except InputError as error:
        raise InputError(str(error), file=path) from error


def load_spiking(folder: Path) -> SpikingNetwork:
    """Read a checkpoint; a file that was cut or altered is refused."""
    config = load_config(folder)
    for name, expected in config.sha256.items():
        path = folder / name
        if not path.is_file():
            raise InputError("missing", file=path, cure="copy the whole checkpoint")
        if _sha256(path) != expected:
            cure = "restore the file; the checkpoint was cut or altered"
            raise InputError("checksum differs from config.json", file=path, field="sha256", cure=cure)
    try:
        tensors = load_file(folder / MODEL_FILE)
        tables = load_file(folder / config.embeddings)
        if ROWS_FILE in config.sha256:
            replace_rows(tables, load_file(folder / ROWS_FILE))
    except SafetensorError as error:
        raise InputError(f"not a safetensors file ({error})", file=folder, cure="restore the file") from error
    sizes = [len(tensors[f"blocks.{i}.table"]) for i in range(config.num_hidden_layers)]
    network = SpikingNetwork(config, sizes)
    _from_disk(network, tensors | {f"embeddings.{k}": v for k, v in tables.items()}, folder / MODEL_FILE)
    for name, population in network.populations().items():
        try:
            _ = population.code
        except InputError as error:
            raise InputError(str(error), file=folder / MODEL_FILE, field=name) from error
    return network


def tokenizer_folder(folder: Path) -> Path:
    """Where a checkpoint's tokenizer lies: in its own folder, or beside the embeddings that it shares."""
    if (folder / TOKENIZER_FILE).is_file() or not (folder / CONFIG_FILE).is_file():
        return folder
    plain = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    return Path(os.path.normpath(folder / plain.get("embeddings", EMBEDDINGS_FILE))).parent


def tokenizer_file(folder: Path) -> Path:
    """A checkpoint's tokenizer, which has to be there."""
    path = tokenizer_folder(folder) / TOKENIZER_FILE
    if not path.is_file():
        cure = "copy the tokenizer's files beside the checkpoint (a round of training has them once it is done)"
        raise InputError("no tokenizer", file=path, cure=cure)
    return path


def load_classifier(folder: Path) -> SpikingNetwork:
    """As :func:`load_spiking`, but a general encoder, whose classifier is random, is refused."""
    network = load_spiking(folder)
    if network.config.task == GENERAL:
        cure = "train a task from it (start_from: general)"
        raise InputError("a general encoder, no classifier", file=folder, field="task", cure=cure)
    return network


def differing_rows(tables: dict[str, Tensor], shared: dict[str, Tensor], shelf: Path) -> dict[str, Tensor]:
    """Numbers (``<table>.rows``, int32) and contents (``<table>.values``) of rows that ``shared`` holds otherwise."""
    found: dict[str, Tensor] = {}
    for name, own in tables.items():
        other = shared.get(name)
        if other is None or other.shape != own.shape or other.dtype != own.dtype:
            cure = "give --embeddings another name"
            raise InputError("holds embeddings of another kind", file=shelf, field=name, cure=cure)
        rows = (own != other).reshape(len(own), -1).any(1).nonzero().flatten()
        if len(rows):
            found |= {f"{name}.rows": rows.to(torch.int32), f"{name}.values": own[rows].contiguous()}
    return found


def replace_rows(tables: dict[str, Tensor], rows: dict[str, Tensor]) -> None:
    """Put the rows that :func:`differing_rows` found in their places."""
    for key in rows:
        name, kind = key.rsplit(".", 1)
        if kind == "rows":
            tables[name][rows[key].long()] = rows[f"{name}.values"]


def _to_disk(network: SpikingNetwork) -> dict[str, Tensor]:
    """Weights and even thresholds packed, whole numbers as narrow as they fit, everything else as it is; no
    embeddings."""
    tensors: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        module = network.get_submodule(name.rpartition(".")[0])
        if name.startswith("embeddings."):
            continue
        if isinstance(module, Connection) and name.endswith(".weights"):
            value = pack(value, module.kind)
        elif isinstance(module, Connection) and name.endswith(".offset"):
            value = value.to(torch.int16) if int(value.abs().max()) < 2**15 else value
        elif name.endswith(".thresholds"):
            if even := pack_even(value):
                tensors[f"{name}.ends"], tensors[f"{name}.off"] = _narrow(even[0]), even[1]
                continue
            value = _narrow(value)
        elif isinstance(module, Population) and name.endswith((".silent", ".reads")):
            value = value.to(torch.uint8) if int(value.min()) >= 0 and int(value.max()) < 256 else value
        elif name.endswith(".table"):  # whole numbers up to EXP_ONE, 2¹⁴
            value = value.to(torch.int16)
        tensors[name] = value.contiguous()
    return tensors


def _narrow(thresholds: Tensor) -> Tensor:
    """Thresholds in int16 where those that can be reached fit; those that cannot be reached stay out of reach."""
    limit = 2**15 - 1
    reachable = thresholds[thresholds.abs() < REACH]
    if reachable.numel() and int(reachable.abs().max()) >= limit:
        return thresholds
    return thresholds.clamp(-limit, limit).to(torch.int16)


def _from_disk(network: SpikingNetwork, tensors: dict[str, Tensor], file: Path) -> None:
    for name, own in network.state_dict().items():
        if f"{name}.ends" in tensors and f"{name}.off" in tensors:
            tensors[name] = unpack_even(tensors[f"{name}.ends"], tensors[f"{name}.off"], own.shape[1])
        if name not in tensors:
            raise InputError("missing tensor", file=file, field=name, cure="convert again")
        value = tensors[name]
        module = network.get_submodule(name.rpartition(".")[0])
        if isinstance(module, Connection) and name.endswith(".weights"):
            value = unpack(value, module.kind, own.shape[1])
        if value.shape != own.shape:
            problem = f"shape {list(value.shape)} instead of {list(own.shape)}"
            raise InputError(problem, file=file, field=name, cure="convert again")
        own.copy_(value)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
