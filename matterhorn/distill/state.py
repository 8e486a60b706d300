"""The state of a phase on disk. It is written completely or not at all, without pickle, and resumed exactly."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import InputError
from ..reading import read_mapping, validated, whole
from ..storage import put_folder, settle

FORMAT = 2
"""Version of checkpoints. In version 2, parts have names, and the control of silence is one of them."""

STATE, PLAIN = "state.safetensors", "state.json"


class Stateful(Protocol):
    """Anything whose state is saved and restored: a network, an average, parts of a loss."""

    def state_dict(self) -> dict[str, Tensor]:  # noqa: D102
        ...

    def load_state_dict(self, state: dict[str, Tensor], /) -> object:  # noqa: D102
        ...


@dataclass
class Progress:
    """Progress of a phase.

    Attributes:
        step, seconds: number of steps and seconds up to the last evaluation.
        best, best_step: best score, and the step at which it was reached. This network is kept.
        history: figures of all evaluations.
        done: whether the phase has finished.
    """

    step: int = 0
    best: float = -math.inf
    best_step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    done: bool = False

    def note(self, step: int, seconds: float, score: float, figures: Mapping[str, float]) -> None:
        """Record an evaluation after this many steps and seconds, and update the best score."""
        self.step, self.seconds = step, seconds
        self.history.append({"step": step, **figures})
        if score > self.best:
            self.best, self.best_step = score, step

    @property
    def kept(self) -> dict[str, float]:
        """The figures of the network that is kept."""
        return next(figures for figures in self.history if figures["step"] == self.best_step)


def save_state(
    folder: Path, parts: Mapping[str, Stateful], optimizer: torch.optim.Optimizer, progress: Progress
) -> None:
    """Save all parts, the optimizer, the random state and progress to ``folder``, completely or not at all."""
    tensors = {f"{name}/{k}": v for name, part in parts.items() for k, v in part.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{k}": torch.as_tensor(v) for k, v in state.items()}
    tensors["random"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random_cuda"] = torch.cuda.get_rng_state()

    def write(fresh: Path) -> None:
        save_file({k: v.contiguous().clone() for k, v in tensors.items()}, fresh / STATE)
        (fresh / PLAIN).write_text(json.dumps({"format": FORMAT, **asdict(progress)}))

    put_folder(folder, "checkpoint", write)


def load_state(folder: Path, parts: Mapping[str, Stateful], optimizer: torch.optim.Optimizer) -> Progress:
    """Restore all parts, the optimizer and the random state from what :func:`save_state` saved.

    Without a checkpoint they stay as they are.
    """
    settle(folder)
    if not folder.exists():
        return Progress()
    with whole(folder / STATE, "train anew"):
        tensors = load_file(folder / STATE)
    for name, part in parts.items():
        part.load_state_dict({k.removeprefix(f"{name}/"): v for k, v in tensors.items() if k.startswith(f"{name}/")})
    state = optimizer.state_dict()
    state["state"] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer/"):
            _, index, name = key.split("/")
            state["state"].setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(state)
    torch.set_rng_state(tensors["random"])
    if "random_cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random_cuda"])
    return read_progress(folder)


def read_progress(folder: Path) -> Progress:
    """Read the progress of the phase that saved its state in ``folder``.

    Raises:
        InputError: it is of another version.
    """
    settle(folder)
    plain = read_mapping(folder / PLAIN, "train anew")
    if plain.pop("format", None) != FORMAT:
        raise InputError(f"not of format {FORMAT}", file=folder / PLAIN, field="format", cure="train anew")
    return validated(Progress, plain, folder / PLAIN, "train anew")


def is_done(folder: Path) -> bool:
    """Whether the phase that saved its state in ``folder`` has finished."""
    return (folder / PLAIN).is_file() and read_progress(folder).done
