"""Write the folder of ``spike``: program, tokenizer, card, results, figures, page."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..energy import Bill
from ..hf import model_card
from ..program import Program
from ..program.saving import save
from ..reading import read_mapping
from ..report.spiked_page import spiked_page
from ..runtime.verify import Verification
from ..storage import refuse_another
from ..tasks import Task
from ..tasks.results import Result, Scores, SpikingScores
from ..tasks.results import Verification as Verified

ANSWER_FILE, PAGE_FILE, RESULTS_FILE = "spike.json", "index.html", "results.json"


def write(
    folder: Path,
    program: Program,
    answer: dict[str, Any],
    report: Verification,
    bill: Bill,
    task: Task,
    run: dict[str, Any],
    teacher_blocks: int,
) -> None:
    """Write the folder, completely or not at all.

    Args:
        run: everything that the result depends on. ``run["model"]`` is the hash of the teacher.
        teacher_blocks: number of blocks of the teacher.
    """
    backbone = f"{answer['model']}@{run['model'][:12]}"
    result = result_of(folder.name, program, answer, report, task, backbone, teacher_blocks)
    beside = {
        ANSWER_FILE: json.dumps(answer | {"run": run}, indent=1) + "\n",
        RESULTS_FILE: result.as_json(),
        PAGE_FILE: spiked_page(answer, bill),
        "README.md": model_card(program, result, name=folder.name, teacher=answer["model"]),
    }
    save(program, folder, beside=beside)


def read_finished(folder: Path, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the answer that a finished run has left in a folder. None: there is none.

    Raises:
        InputError: the folder has the result of another run. The message says what differs.
    """
    path, cure = folder / ANSWER_FILE, "name another folder, or give --overwrite"
    if not path.is_file():
        return None
    answer = read_mapping(path, cure)
    refuse_another(folder, answer.get("run", {}), run, cure)
    return {name: value for name, value in answer.items() if name != "run"}


def result_of(
    name: str,
    program: Program,
    answer: dict[str, Any],
    report: Verification,
    task: Task,
    backbone: str,
    teacher_blocks: int,
) -> Result:
    """Make the result file.

    Args:
        backbone: name and hash of the teacher, which distinguish teachers in tables.
        teacher_blocks: number of blocks of the teacher.
    """
    scores = SpikingScores(
        metrics=answer["metrics"],
        low=answer["low"],
        high=answer["high"],
        k=program.config.dead_zone,
        silence_per="neuron",
        intermediate=program.config.intermediate_size,
        weights=program.config.weights,
        backend="events",
        silent_share=answer["silent_share"],
        quiet_share=answer["quiet_share"],
        events_per_token=answer["events_per_token"],
        verify=Verified(**{field: getattr(report, field) for field in Verified.model_fields}),
    )
    return Result(
        task=task.name,
        model=name,
        backbone=backbone,
        split="dev" if answer["data"] is None else "eval",
        n=answer["n"],
        metric=task.metrics[0],
        seed=answer["settings"]["seed"],
        quiet_target=answer["settings"]["quiet_share"],
        blocks=answer["settings"]["blocks"],
        teacher_blocks=teacher_blocks if answer["settings"]["blocks"] else None,
        program=program.hash,
        teacher=Scores(metrics=answer["teacher_metrics"]),
        spiking=[scores],
        data=answer["data"],
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    )
