"""Two processes under ``accelerate launch``, and accelerate's trackers.

Without a GPU ``--multi_gpu`` starts the processes just as on a GPU node; they talk over gloo.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from matterhorn.errors import InputError
from matterhorn.trace import Trace
from matterhorn.training.tracking import tracking

from .test_glue import lay_dev, spiking_for
from .test_run import command, lay_out

LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]


def launch(*arguments: str | Path, processes: int = 2) -> str:
    """Run matterhorn in one or two processes; its standard output."""
    start = [sys.executable, *(LAUNCH if processes == 2 else []), "-m", "matterhorn"]
    environment = os.environ | {"TORCH_COMPILE_DISABLE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*start, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_processes_evaluate_as_one(tmp_path):
    model, rows = spiking_for("rte", tmp_path / "rte"), lay_dev(tmp_path / "glue", "rte", rows=150)
    arguments = ["evaluate", "--task", "rte", "--model", model, "--glue-dir", rows, "--json", "--trace"]
    one, two = (json.loads(launch(*arguments, tmp_path / f"{n}.json.gz", processes=n)) | {"seconds": 0} for n in (1, 2))
    assert one == two and one["n"] == 150
    ours, other = (Trace.load(tmp_path / f"{n}.json.gz") for n in (1, 2))
    assert ours.lengths == other.lengths and ours.digital == other.digital
    for name, connection in ours.connections.items():
        same = {k: np.array_equal(v, getattr(other.connections[name], k)) for k, v in vars(connection).items()}
        assert all(same.values()), same


def lay_short(folder: Path) -> Path:
    """The tiny recipe, two steps a phase: two processes share 260 rows in batches of 16, nine steps an epoch."""
    path = lay_out(folder)
    recipe = yaml.safe_load(path.read_text())
    for phase in (recipe["teacher"], *recipe["rounds"]):
        phase.update(epochs=2 / 9, evaluate_every=1)
    path.write_text(yaml.safe_dump(recipe))
    return path


def test_two_processes_train(tmp_path):
    recipe, output = lay_short(tmp_path), tmp_path / "run"
    told = launch(*command(recipe, output)[3:])
    assert told.count("the quantised network") == 1
    for place in ("teacher", "round-0-k0", "round-1-k1"):
        state = json.loads((output / place / "last" / "state.json").read_text())
        assert state["step"] == 2 and state["done"] and len(state["history"]) == 2
        tensors = load_file(output / place / "last" / "state.safetensors")
        assert all(value.isfinite().all() for value in tensors.values())
    assert not (output / "logs").exists()
    start, end = (load_file(output / f"round-{n}" / "best" / "model.safetensors") for n in ("0-k0", "1-k1"))
    moved = [name for name in start if not torch.equal(start[name], end[name])]
    assert any("ffn1.weight" in name for name in moved) and not any(name.startswith("embeddings") for name in moved)


def test_a_tracker_gets_every_evaluation(tmp_path):
    pytest.importorskip("tensorboardX")
    recipe, output = lay_short(tmp_path), tmp_path / "run"
    launch(*command(recipe, output)[3:], "--tracker", "tensorboard", processes=1)
    for place in ("teacher", "round-0-k0", "round-1-k1"):
        data = b"".join(file.read_bytes() for file in (output / "logs" / place).glob("events.*"))
        history = json.loads((output / place / "last" / "state.json").read_text())["history"]
        assert history and all(data.count(name.encode()) == len(history) for name in ("accuracy", "loss"))


def test_a_tracker_that_is_missing_or_unknown_is_refused(monkeypatch):
    monkeypatch.setattr("accelerate.tracking._available_trackers", [])
    with (
        pytest.raises(InputError, match=r"tracker: tracker 'wandb' is not installed; pip install wandb"),
        tracking("wandb"),
    ):
        pass
    with pytest.raises(InputError, match="unknown tracker 'paper'"), tracking("paper"):
        pass
    with tracking(None):
        pass
