"""Two processes under ``accelerate launch``, and accelerate's trackers.

Without a GPU ``--multi_gpu`` starts the processes just as on a GPU node; they talk over gloo.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from safetensors.torch import load_file

from matterhorn.distill.loop import _tracking, check_tracker
from matterhorn.distill.recipe import load_recipe
from matterhorn.distill.run import train as train_here
from matterhorn.errors import InputError
from matterhorn.models.convert import convert_folder
from matterhorn.program import Trace

from ..tiny import environment, lay_dev, lay_network, lay_out, train_command

LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]
PLACES = ("teacher", "phase-0-k0", "phase-1-k1")


def launch(*arguments: str | Path, processes: int = 2) -> str:
    """Run matterhorn in one or two processes; its standard output."""
    start = [sys.executable, *(LAUNCH if processes == 2 else []), "-m", "matterhorn"]
    done = subprocess.run(
        [*start, *map(str, arguments)], env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_two_processes_evaluate_as_one(tmp_path):
    convert_folder(lay_network(tmp_path / "network", "rte", 1), task="rte").save(tmp_path / "rte")
    rows = lay_dev(tmp_path / "glue", "rte", rows=150)
    arguments = ["evaluate", "--task", "rte", "--model", tmp_path / "rte", "--glue-dir", rows, "--json", "--trace"]
    one, two = (json.loads(launch(*arguments, tmp_path / f"{n}.json.gz", processes=n)) | {"seconds": 0} for n in (1, 2))
    assert one == two and one["n"] == 150
    ours, other = (Trace.load(tmp_path / f"{n}.json.gz") for n in (1, 2))
    assert ours.lengths == other.lengths and ours.digital == other.digital
    for name, connection in ours.connections.items():
        same = {k: np.array_equal(v, getattr(other.connections[name], k)) for k, v in vars(connection).items()}
        assert all(same.values()), same


def lay_short(folder: Path) -> Path:
    """The tiny recipe, two steps a phase: 260 rows in batches of 16, 17 steps an epoch, which two processes share."""
    path = lay_out(folder)
    recipe: dict[str, Any] = yaml.safe_load(path.read_text())
    for phase in (recipe["teacher"], *recipe["phases"]):
        phase.update(epochs=2 / 17, evaluate_every=1)
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.mark.slow
def test_two_processes_train(tmp_path):
    recipe, output = lay_short(tmp_path), tmp_path / "run"
    assert launch(*train_command(recipe, output)[2:]).count("the quantized network") == 1
    for place in PLACES:
        state = json.loads((output / place / "last" / "state.json").read_text())
        assert state["step"] == 2 and state["done"] and len(state["history"]) == 2
        tensors = load_file(output / place / "last" / "state.safetensors")
        assert all(value.isfinite().all() for value in tensors.values() if value.is_floating_point())
    assert not (output / "logs").exists()
    start, end = (load_file(output / f"phase-{n}" / "best" / "model.safetensors") for n in ("0-k0", "1-k1"))
    moved = [name for name in start if not torch.equal(start[name], end[name])]
    assert any("ffn1.weight" in name for name in moved) and not any(name.startswith("embeddings") for name in moved)


def test_a_tracker_gets_every_evaluation(tmp_path):
    pytest.importorskip("tensorboardX")
    recipe, output = lay_short(tmp_path), tmp_path / "run"
    train_here(load_recipe(recipe), output, tmp_path / "glue", tracker="tensorboard")
    for place in PLACES:
        data = b"".join(file.read_bytes() for file in (output / "logs" / place).glob("events.*"))
        history = json.loads((output / place / "last" / "state.json").read_text())["history"]
        assert history and all(data.count(name.encode()) == len(history) for name in ("accuracy", "loss"))


def test_a_tracker_is_finished_even_if_a_phase_fails(tmp_path):
    """Or what it still holds in memory would be lost."""

    class Noted(GeneralTracker):
        name, requires_logging_directory, main_process_only, tracker, finished = "noted", False, False, None, 0

        def store_init_configuration(self, values): ...

        def finish(self):
            self.finished += 1

    noted = Noted()
    accelerator = Accelerator(cpu=True, log_with=noted)
    with pytest.raises(KeyboardInterrupt), _tracking(accelerator, tmp_path, load_recipe("sst2").phases[0]):
        raise KeyboardInterrupt
    assert noted.finished == 1


def test_a_tracker_that_is_missing_or_unknown_is_refused(monkeypatch):
    monkeypatch.setattr("accelerate.tracking._available_trackers", [])
    with pytest.raises(InputError, match=r"no tracker 'wandb'; choose one of .*wandb.*, and pip install it"):
        check_tracker("wandb")
    with pytest.raises(InputError, match="no tracker 'paper'"):
        check_tracker("paper")
    check_tracker(None)
