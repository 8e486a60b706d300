"""Where a run stands, on disk: written whole or not at all, read without pickles, resumed exactly."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

STATE, PLAIN = "state.safetensors", "state.json"


def save_state(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: dict[str, Any],
    average: nn.Module | None = None,
) -> None:
    """Write model, optimizer, random state and ``progress`` (plain JSON values) to ``folder``, replacing it at once."""
    tensors: dict[str, Tensor] = {f"model/{k}": v for k, v in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average/{k}": v for k, v in average.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{k}": torch.as_tensor(v) for k, v in state.items()}
    tensors["random"] = torch.get_rng_state()
    fresh = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, fresh / STATE)
    (fresh / PLAIN).write_text(json.dumps(progress))
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def load_state(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None = None
) -> dict[str, Any] | None:
    """Bring model, average, optimizer and random state back to where :func:`save_state` left them.

    None if nothing is there.
    """
    old = folder.with_name(folder.name + ".old")
    if not folder.exists() and old.exists():  # killed between the two renames
        os.replace(old, folder)
    if not folder.exists():
        return None
    tensors = load_file(folder / STATE)
    for prefix, module in (("model/", model), ("average/", average)):
        if module is not None:
            module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    state = optimizer.state_dict()
    state["state"] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer/"):
            _, index, name = key.split("/")
            state["state"].setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(state)
    torch.set_rng_state(tensors["random"])
    return read_progress(folder)


def read_progress(folder: Path) -> dict[str, Any]:
    """The plain values that :func:`save_state` left in ``folder``."""
    return json.loads((folder / PLAIN).read_text())


def is_done(folder: Path) -> bool:
    """Whether the phase that left its state in ``folder`` came to its end."""
    return (folder / PLAIN).is_file() and bool(read_progress(folder)["done"])
