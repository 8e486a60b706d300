"""Scoring a run: teacher, quantised network and spiking networks on the dev rows, as one result file."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from transformers import AutoConfig

from ..engines import get_engine
from ..errors import InputError
from ..models import MatterhornForSequenceClassification
from ..models.checkpoint import SpikingConfig, load_spiking
from ..models.convert import convert
from ..models.spiking import SpikingNetwork
from .data import Tokens, load_examples, tokenize, tokenizer_of
from .evaluate import Progress, evaluate_spiking
from .loop import evaluate_tokens
from .results import MISMATCHED, Result, Scores, SpikingScores
from .start import finished_rounds
from .tasks import Task
from .teacher import load_teacher

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass
class Sources:
    """Folders of the networks of one run; ``spiking``: spiking checkpoints or quantised networks to convert."""

    spiking: list[Path]
    teacher: Path | None = None
    quantised: Path | None = None
    recipe: dict[str, Any] = field(default_factory=dict)


def find_sources(folder: Path) -> Sources:
    """What there is to score in a run's folder (the last round of each dead zone), or in a network's folder."""
    if (folder / "config.json").is_file():
        path = folder / "recipe.yaml"
        return Sources([folder], recipe=yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {})
    rounds = [place / "best" for place in finished_rounds(folder)]
    if not rounds:
        cure = "give a run's folder with a finished round, or a network's folder"
        raise InputError("no network here", file=folder, cure=cure)
    last = {_read(place / "config.json").get("dead_zone", 0): place for place in rounds}
    teacher = folder / "teacher" / "best"
    spiking = [place for k, place in sorted(last.items()) if k > 0 or len(last) == 1]
    recipe = folder / "recipe.json"
    return Sources(
        spiking, teacher if teacher.is_dir() else None, last.get(0), _read(recipe) if recipe.is_file() else {}
    )


def score(
    task: Task,
    name: str,
    sources: Sources,
    glue_dir: Path | None,
    *,
    engine: str = "exact",
    max_length: int = 128,
    limit: int | None = None,
    progress: Progress = iter,
    accelerator: Accelerator | None = None,
) -> Result:
    """All metrics of the task on its dev rows, of each network in full precision or in integers, as it is.

    Args:
        name: what the model is called, e.g. in the zoo.
        limit: only the first rows (then it is no dev score).
    """
    tokenizer = tokenizer_of(sources.spiking[0])
    splits = {}
    for split in _splits(task, glue_dir):
        examples = load_examples(task, split, glue_dir)
        examples = examples if limit is None else examples.subset(list(range(min(limit, len(examples)))))
        splits[split] = tokenize(examples, tokenizer, task, max_length)
    recipe = sources.recipe
    if recipe.get("task", task.name) != task.name:
        problem = f"the run is one of {recipe['task']}, not of {task.name}"
        raise InputError(problem, field="task", cure="give a run of this task")

    def plain(model: torch.nn.Module) -> Scores:
        return Scores(metrics=_joined({s: evaluate_tokens(model, task, t, accelerator) for s, t in splits.items()}))

    spiking = [_spiking(place, task, splits, engine, progress, accelerator) for place in sources.spiking]
    return Result(
        task=task.name,
        model=name,
        backbone=recipe.get("backbone"),
        n=len(splits["dev"]),
        metric=task.metrics[0],
        seed=recipe.get("seed"),
        teacher=plain(_teacher(sources.teacher, task)) if sources.teacher else None,
        quantised=plain(_quantised(sources.quantised, task)) if sources.quantised else None,
        spiking=spiking,
        command=f"matterhorn evaluate --task {task.name} --model {name} --json",
        commit=_commit(),
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        machine=f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        note=None if limit is None else f"only the first {limit} rows",
    )


def _splits(task: Task, glue_dir: Path | None) -> list[str]:
    second = task.files.get("dev_mismatched")
    there = second and (glue_dir is None or (glue_dir / task.folder / second).is_file())
    return ["dev", "dev_mismatched"] if there else ["dev"]


def _joined(metrics: dict[str, dict[str, float]]) -> dict[str, float]:
    """Metrics of dev, and the accuracy on MNLI's mismatched rows beside them."""
    second = metrics.get("dev_mismatched")
    return metrics["dev"] | ({MISMATCHED: second["accuracy"]} if second else {})


def _teacher(folder: Path, task: Task) -> torch.nn.Module:
    config = AutoConfig.from_pretrained(folder)
    _fits(config.num_labels, folder, task)
    return load_teacher(folder, task).float().eval()


def _quantised(folder: Path, task: Task) -> MatterhornForSequenceClassification:
    network = MatterhornForSequenceClassification.from_pretrained(folder).eval()
    _fits(network.config.num_labels, folder, task)
    return network


def _spiking(
    folder: Path,
    task: Task,
    splits: dict[str, Tokens],
    engine: str,
    progress: Progress,
    accelerator: Accelerator | None,
) -> SpikingScores:
    network = _to_spikes(folder, task)
    runner = get_engine(engine)
    done = {
        split: evaluate_spiking(network, tokens, task, runner, progress=progress, accelerator=accelerator)
        for split, tokens in splits.items()
    }
    return SpikingScores(
        metrics=_joined({split: evaluation.metrics for split, evaluation in done.items()}),
        k=network.config.dead_zone,
        silence_per="neuron" if network.config.silence_per == "neuron" else "tensor",
        ffn_neurons=network.config.intermediate_size,
        engine=engine,
        silent_share=done["dev"].trace.silent_share,
        events_per_token=done["dev"].events_per_token,
    )


def _to_spikes(folder: Path, task: Task) -> SpikingNetwork:
    if _read(folder / "config.json").get("model_type") == SpikingConfig.model_type:
        network = load_spiking(folder)
        trained = getattr(network.config, "task", None)
        if trained not in (None, task.name):
            problem = f"a network for {trained}, not for {task.name}"
            raise InputError(problem, file=folder, field="task", cure="give a network of this task")
    else:
        network = convert(_quantised(folder, task))
    _fits(network.config.num_labels, folder, task)
    return network


def _fits(outputs: int | None, folder: Path, task: Task) -> None:
    if outputs != task.outputs:
        problem = f"{outputs} outputs, {task.name} wants {task.outputs}"
        raise InputError(problem, file=folder / "config.json", field="id2label", cure="give a network of this task")


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"cannot be read ({error})", file=path, cure="give a whole run or network") from error


def _commit() -> str | None:
    """Commit of the sources that ran, if they are a git tree; ``+`` marks uncommitted changes."""
    describe = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(describe, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
