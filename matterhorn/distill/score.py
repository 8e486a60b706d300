"""Score what a run produces: its teacher, its quantized networks, and the programs that are converted from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from ..errors import InputError
from ..models import MatterhornConfig
from ..models.quantized import read_network
from ..program.files import KIND
from ..reading import read_mapping
from ..storage import read_manifest, settle
from ..tasks.metrics import compute_metrics, interval
from ..tasks.results import Scores
from ..tasks.score import Splits, both
from ..tasks.tables import Progress as Bar
from ..tasks.task import Task
from .measure import predict
from .recipe import Recipe, read_recipe
from .start import RECIPE_FILE, begun_phases
from .state import Progress, is_done, read_progress
from .teacher import load_teacher


@dataclass
class Networks:
    """Folders of the networks of one run.

    Attributes:
        converting: quantized networks that are to be converted to programs.
        teacher: the teacher, if any.
        quantized: the quantized network without a dead zone, if any.
    """

    converting: list[Path]
    teacher: Path | None = None
    quantized: Path | None = None


def find_networks(folder: Path) -> Networks:
    """Find what can be scored in a run's folder: the last phase of each dead zone; or a single quantized network.

    Raises:
        InputError: there is none.
    """
    if (folder / "config.json").is_file():
        return Networks([folder])
    last = {_config(place / "best").get("dead_zone", 0): place / "best" for place in begun_phases(folder)}
    if not last:
        cure = "give a run's folder with a finished phase, or a network's folder"
        raise InputError("no network here", file=folder, cure=cure)
    teacher = folder / "teacher" / "best"
    converting = [place for k, place in sorted(last.items()) if k > 0 or len(last) == 1]
    return Networks(converting, teacher if teacher.is_dir() else None, last.get(0))


@dataclass(frozen=True)
class Finished:
    """A finished run of one task: its recipe, its networks, and the results of its phases."""

    recipe: Recipe
    networks: Networks
    phases: list[Progress]


def finished_run(folder: Path) -> Finished:
    """Read a finished run's folder.

    Raises:
        InputError: it is not a run but e.g. a program, has no task or no network, or a phase has not finished.
    """
    if (there := read_manifest(folder)) and there.kind == KIND:
        problem = "a program, as spike and publish write it, not a run of matterhorn train"
        raise InputError(problem, file=folder, cure="upload it as it is")
    if not (folder / RECIPE_FILE).is_file():
        cure = "give the folder of a run, as matterhorn train wrote it"
        raise InputError(f"no {RECIPE_FILE} here", file=folder, cure=cure)
    recipe = read_recipe(folder / RECIPE_FILE)
    if recipe.task is None:
        cure = "give the folder of a run of one task, as matterhorn train wrote it"
        raise InputError("a run for no task", file=folder, field="task", cure=cure)
    networks, places = find_networks(folder), begun_phases(folder)
    cure = "go on with the same matterhorn train"
    for place in places:
        if not is_done(place / "last"):
            raise InputError("this phase is not finished", file=place, cure=cure)
    if len(places) < len(recipe.phases):
        raise InputError(f"{len(places)} of {len(recipe.phases)} phases", file=folder, cure=cure)
    return Finished(recipe, networks, [read_progress(place / "last") for place in places])


def check_outputs(folder: Path, task: Task) -> None:
    """Check that a teacher or a quantized network has a task's outputs, in its order.

    Raises:
        InputError: it has other outputs, or in another order.
    """
    config = _config(folder)
    named = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    if task.for_labels([named[i] for i in sorted(named, key=int)]).classes != task.classes:
        problem = f"its outputs are {', '.join(named.values())}, in another order than the program's"
        raise InputError(problem, file=folder / "config.json", field="id2label", cure="give the program's own teacher")


def blocks_of(folder: Path) -> int | None:
    """Return the number of blocks of a teacher according to its configuration. None: it has no such entry."""
    config = _config(folder)
    blocks: int | None = config.get("num_hidden_layers", config.get("n_layers"))
    return blocks


def scores_of(
    folder: Path,
    task: Task,
    splits: Splits,
    accelerator: Accelerator | None = None,
    *,
    progress: Callable[[str], Bar] = lambda _: iter,
) -> Scores:
    """Compute the metrics of a teacher or a quantized network on dev rows.

    ``progress``: returns a progress bar with the given title.

    Raises:
        InputError: it has other outputs than the task, or in another order.
    """
    check_outputs(folder, task)
    is_quantized = _config(folder).get("model_type") == MatterhornConfig.model_type
    network = read_network(folder) if is_quantized else load_teacher(folder, task)
    logits = {split: predict(network, tokens, accelerator).numpy() for split, tokens in splits.items()}
    low, high = interval(task, logits["dev"], splits["dev"].labels, progress=progress("interval"))
    found = {split: compute_metrics(task, own, splits[split].labels) for split, own in logits.items()}
    return Scores(metrics=both(found), low=low, high=high)


def _config(folder: Path) -> dict[str, Any]:
    settle(folder)
    path = folder / "config.json"
    return read_mapping(path, "give a whole run or network")
