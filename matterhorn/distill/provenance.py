"""Everything that a training run depends on, as plain values. A run resumes only if all of it is the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import AutoConfig, PreTrainedModel

from ..energy import Chip
from ..energy import load as load_chip
from ..models.general import ARRAYS_FILE, GeneralEncoder
from ..msu import Device, load_device
from ..reading import whole
from ..storage import sha256
from ..tasks.rows import Examples, load_examples
from ..tasks.sources import load_source
from ..tasks.task import get_task
from .recipe import Recipe
from .start import Start
from .teacher import UNKNOWN, locate
from .texts import judging_tasks


def processes() -> PartialState:
    """Return the processes that train together.

    The first use of accelerate decides for all whether a GPU is used. If there is none and accelerate is not told so,
    each process assumes that it is alone.
    """
    return PartialState(cpu=not torch.cuda.is_available())


def about_run(recipe: Recipe, start: Start | None, glue_dir: Path | None) -> dict[str, Any]:
    """Return the recipe, with hashes of its rows, of its chips and devices, and of the networks that it starts from.

    Dev rows are among them if they decide which rows are left out (:func:`~.texts.judging_tasks`).

    Raises:
        InputError: rows or the backbone are missing.
    """
    tasks = dict.fromkeys([*([recipe.task] if recipe.task else []), *recipe.texts])
    judging = {name: load_examples(get_task(name), "dev", glue_dir).texts for name in judging_tasks(recipe)}
    return {
        "recipe": recipe.model_dump(mode="json"),
        "rows": {name: hash_of_rows(load_examples(get_task(name), "train", glue_dir)) for name in tasks},
        "dev": {name: hash_of_rows(Examples(texts, [])) for name, texts in judging.items()},
        "sources": {use.name: hash_of_rows(Examples(load_source(use), [])) for use in recipe.sources},
        "backbone": hash_of_backbone(recipe.backbone),
        "start": hash_of_start(start) if start else None,
        "hardware": hashes_of_hardware(recipe),
        "processes": processes().num_processes,
    }


def hashes_of_hardware(recipe: Recipe) -> dict[str, str]:
    """Return hashes of all numbers of the chips and devices that a recipe's phases use, by their names or files."""
    found: dict[str, Chip | Device] = {}
    for phase in recipe.phases:
        if phase.price:
            found[phase.price] = load_chip(phase.price)
        if phase.device_deviation:
            found[phase.device] = load_device(phase.device)
    return {name: hashlib.sha256(one.model_dump_json().encode()).hexdigest() for name, one in found.items()}


def hash_of_backbone(name: str) -> str:
    """Return the hash of a folder's files, or the commit of a name on the hub."""
    place = locate(name)
    if Path(place).is_dir():
        return hash_of_files(Path(place))
    with whole(name, UNKNOWN):
        return str(getattr(AutoConfig.from_pretrained(place), "_commit_hash", None))


def hash_of_start(start: Start) -> dict[str, str | None]:
    """Return hashes of the network and the teacher that a run starts from."""
    if isinstance(start.network, GeneralEncoder):
        network = sha256(start.network.folder / ARRAYS_FILE)
    else:
        network = hash_of_files(start.network) if isinstance(start.network, Path) else start.network.hash
    pinned = {"latents": sha256(start.latents)} if start.latents else {}
    return pinned | {"network": network, "teacher": hash_of_files(start.teacher) if start.teacher else None}


def hash_of_files(folder: Path) -> str:
    """SHA-256 over names and contents of a folder's files."""
    found = [[path.name, sha256(path)] for path in sorted(folder.iterdir()) if path.is_file()]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def hash_of_rows(rows: Examples) -> str:
    """SHA-256 of texts and labels."""
    return hashlib.sha256(json.dumps([rows.texts, rows.labels]).encode()).hexdigest()


def hash_of_model(model: PreTrainedModel) -> str:
    """SHA-256 of a model's weights."""
    digest = hashlib.sha256()
    for value in model.state_dict().values():
        digest.update(value.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()
