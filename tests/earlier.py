"""Folders as earlier versions wrote them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from matterhorn.program import load
from matterhorn.storage import sha256

OLD = {"context": "mixed", "intermediate": "middle", "silent_value": "reads"}
OLD_KEYS = {"weights": "weight_bits", "kv_bits": "stored_bits", "dead_zones": "narrower"}


def old_name(name: str) -> str:
    """An array's name in format 2."""
    for now, before in OLD.items():
        name = re.sub(rf"\b{now}\b", before, name)
    sources = "input|queries|probabilities|mixed|hidden|middle|keys|values"
    return re.sub(rf".({sources}).scale$", r".\1.step", name)


def as_format(folder: Path, number: int) -> None:
    """Turn a program's folder into what format 1 or 2 was."""
    plain = json.loads((folder / "config.json").read_text())
    file = folder / "model.safetensors"
    stored = load_file(file)
    if number == 1:  # nothing was packed but weights
        whole = load(folder).arrays()
        stored = {k: v for k, v in stored.items() if k.endswith("weights") or k.split(".")[-1] not in ("ends", "off")}
        stored = {k: v if k.endswith("weights") else whole[k] for k, v in stored.items()}
        stored |= {k: v for k, v in whole.items() if k.endswith("thresholds")}
    save_file({old_name(k): np.ascontiguousarray(v) if v.ndim else v for k, v in stored.items()}, file)
    network = {OLD_KEYS.get(k, k): v for k, v in plain.pop("network").items() if k != "first_only"}
    network["weight_bits"] = {"int1": "1", "ternary": "ternary", "int4": "4"}[network["weight_bits"]]
    network["narrower"] = {old_name(k): v for k, v in network["narrower"].items()}
    labels = {str(i): name for i, name in enumerate(plain.pop("labels"))}
    plain |= {"format": number, "model_type": "matterhorn-spiking", "id2label": labels, **network}
    unseal(folder, plain)


def unseal(folder: Path, plain: dict[str, Any]) -> None:
    """Checksums in the config, as before format 4, and no manifest."""
    sums = {path.name: sha256(path) for path in folder.glob("*.safetensors")}
    (folder / "config.json").write_text(json.dumps(plain | {"sha256": sums}))
    (folder / "manifest.json").unlink()


def as_format_3(folder: Path) -> None:
    """Turn a program's folder into what format 3 was."""
    unseal(folder, json.loads((folder / "config.json").read_text()) | {"format": 3})
