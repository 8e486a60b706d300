"""What a run of ``spike`` leaves on disk while it works: beside its output, so that it goes on when it was killed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from ..errors import InputError
from ..reading import read_mapping
from ..tasks import Examples

PLAN_FILE, ANSWER_FILE = "plan.json", "spike.json"


@dataclass(frozen=True)
class Run:
    """Where the output goes, and where training lives until then: ``<output>.training``."""

    output: Path

    @property
    def training(self) -> Path:
        """Folder of the phases."""
        return self.output.with_name(self.output.name + ".training")

    def finish(self) -> None:
        """Remove the training, which the output has made superfluous."""
        shutil.rmtree(self.training, ignore_errors=True)


def open_run(output: Path, plan: Mapping[str, Any], *, restart: bool) -> Run:
    """Begin a run, or go on with the one that was stopped.

    Args:
        plan: all that the result depends on, as plain values. restart: forget what a stopped run has done.

    Raises:
        InputError: the folder holds something else, or a stopped run had another plan; it says what differs.
    """
    run = Run(output)
    if output.exists() and (not output.is_dir() or (any(output.iterdir()) and not (output / ANSWER_FILE).is_file())):
        raise InputError("holds something else", file=output, field="output", cure="give a new folder")
    path = run.training / PLAN_FILE
    if run.training.exists() and not path.is_file():
        raise InputError("not a stopped run", file=run.training, field="output", cure="give another output")
    if restart:
        run.finish()
    if path.is_file():
        before = read_mapping(path, "give --restart or another output")
        differing = sorted(name for name in {*before, *plan} if before.get(name) != plan.get(name))
        if differing:
            problem = f"a stopped run with another {', '.join(differing)}"
            raise InputError(problem, file=run.training, field=differing[0], cure="give --restart or another output")
    else:
        run.training.mkdir(parents=True)
        path.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")
    return run


def hash_of_rows(rows: Examples) -> str:
    """SHA-256 of texts and labels."""
    return _sha256([json.dumps([rows.texts, rows.labels]).encode()])


def hash_of_model(model: PreTrainedModel) -> str:
    """SHA-256 of a model's weights."""
    return _sha256(value.detach().cpu().float().numpy().tobytes() for value in model.state_dict().values())


def _sha256(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
