"""Result files: the results of one run on one task in one JSON file (``results.json``), and how they are read.

Values are between 0 and 1, as ``matterhorn evaluate --json`` prints them. Unknown values are null.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..errors import InputError
from ..reading import Strict, read_mapping, validated
from ..storage import Manifest, put_file, put_folder, read_manifest
from .task import METRICS, tasks

Lineage = tuple[str | None, str | None, str | None, float | None, tuple[int, ...] | None]
"""See :attr:`Result.lineage`."""

FORMAT: Literal[3] = 3
"""Version of result files. Version 3 added intervals and the user's own tasks."""

PATTERN = "results*.json"
"""Name pattern of result files. Results of other seeds are next to the first, e.g. ``results-seed-2.json``."""

MISMATCHED = "accuracy_mismatched"
"""Name of MNLI's accuracy on its second dev file."""

Score = Annotated[float, Field(ge=-1, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Scores(Strict):
    """Metrics of one network on the dev rows, each in [-1, 1], and the 95 % interval of the main one."""

    metrics: dict[str, Score]
    low: Score | None = None
    high: Score | None = None


class Verification(Strict):
    """Result of ``matterhorn verify``."""

    n: int = Field(gt=0)
    levels_compared: int
    levels_different: int
    events_different: int
    logits_different: int
    backends: list[str]


class SpikingScores(Scores):
    """Scores of a spiking network.

    It has the dead zone, neurons of a feed-forward layer, width of the weights (as in
    :class:`~matterhorn.program.Config`), metrics, silent and quiet share, and spikes per token.
    """

    k: int = Field(ge=0)
    silence_per: Literal["neuron", "tensor"] | None = None
    intermediate: int | None = Field(None, gt=0)
    weights: str | None = None
    backend: str | None = None
    silent_share: Share | None = None
    quiet_share: Share | None = None
    events_per_token: float | None = Field(None, ge=0)
    verify: Verification | None = None


class Result(Strict):
    """One run (one seed) on one task: the teacher, the quantized network without a dead zone, and spiking networks at
    each k.
    """

    format: Literal[3] = FORMAT
    task: str
    model: str
    backbone: str | None = None
    split: str = "dev"
    n: int = Field(gt=0)
    limit: int | None = Field(default=None, gt=0)
    """Number of rows, if only the first ones of the split were used."""
    metric: str
    seed: int | None = None
    price: str | None = None
    """Chip on which events were priced in training, if any."""
    quiet_target: Share | None = None
    """Quiet share that training held, if any."""
    blocks: tuple[int, ...] | None = None
    """Numbers of the teacher's blocks that the network has, if not all."""
    teacher_blocks: int | None = Field(default=None, gt=0)
    """Number of the teacher's blocks, if the network has only some of them and the number is known."""
    program: str | None = None
    """Hash of the program, if the results are of a single one."""
    teacher: Scores | None = None
    quantized: Scores | None = None
    spiking: list[SpikingScores] = Field([])
    command: str | None = None
    commit: str | None = None
    date: str | None = None
    machine: str | None = None
    note: str | None = None
    data: str | None = None
    """Source of the rows, if they are not the task's own."""

    @property
    def title(self) -> str:
        """Task, and rows if they are not all dev rows of the task. A plain GLUE name always means all GLUE dev rows."""
        rows = self.data or (self.split if self.split != "dev" else None)
        name = self.task if rows is None else f"{self.task} on {rows}"
        return name if self.limit is None else f"{name}, first {self.limit} rows"

    @property
    def lineage(self) -> Lineage:
        """What runs have in common that differ only in their seed: backbone (or the model's name, if unknown), price,
        quiet target, and blocks.
        """
        model = self.model if self.backbone is None else None
        return self.backbone, model, self.price, self.quiet_target, self.blocks

    @property
    def metric_names(self) -> list[str]:
        """Names of all metrics that it may have: those of the task, if the rows are of one of its splits."""
        return metric_names(self.task if self.data is None else self.title)

    @model_validator(mode="after")
    def _check(self) -> Result:
        allowed = self.metric_names
        if self.metric != allowed[0] and self.data is None and self.task in tasks():
            raise ValueError(f"metric: {self.metric!r}, but {self.task} is judged by {allowed[0]}")
        if self.teacher_blocks and max(self.blocks or (0,)) >= self.teacher_blocks:
            raise ValueError(f"teacher_blocks: {self.teacher_blocks}, but blocks are {list(self.blocks or ())}")
        places: dict[str, Scores | None] = {"teacher": self.teacher, "quantized": self.quantized}
        places |= {f"spiking.{i}": scores for i, scores in enumerate(self.spiking)}
        for place, scores in places.items():
            if scores is None:
                continue
            if self.metric not in scores.metrics:
                raise ValueError(f"{place}.metrics: {self.metric} is missing")
            for name in scores.metrics:
                if name not in allowed:
                    raise ValueError(f"{place}.metrics.{name}: {self.task} has {', '.join(allowed)}")
        zones = [scores.k for scores in self.spiking]
        if len(set(zones)) < len(zones):
            raise ValueError(f"spiking: two networks with the same k ({zones})")
        return self

    def save(self, path: Path) -> None:
        """Write the file, completely or not at all. The folder is created if needed.

        Raises:
            InputError: the folder has another program.
        """
        manifest = read_manifest(path.parent)
        if manifest is None:
            put_file(path, self.as_json())
            return
        self.check_program(path, manifest)
        text = self.as_json()
        put_folder(path.parent, manifest.kind, lambda fresh: (fresh / path.name).write_bytes(text.encode()), keep=True)

    def check_program(self, path: Path, manifest: Manifest) -> None:
        """Check that the results are of the program in the same folder.

        Raises:
            InputError: they are of another program.
        """
        if self.program != manifest.about.get("program"):
            cure = "score the program again with matterhorn glue score"
            raise InputError("results of another program", file=path, field="program", cure=cure)

    def as_json(self) -> str:
        """Return the file's text."""
        return self.model_dump_json(indent=1) + "\n"


def metric_names(task: str) -> list[str]:
    """Return the names of all metrics that a task may have; of a shipped task, the main one first."""
    if task not in tasks():
        return [name for names in METRICS.values() for name in names]
    return [*tasks()[task].metrics, *([MISMATCHED] if task == "mnli" else [])]


def read_result(path: Path) -> Result:
    """Read one file. Next to a program, it must be of this program and unaltered.

    Raises:
        InputError: the file is not valid. The message names the file and the field.
    """
    cure = "see docs/glue.md, or write it again with matterhorn glue score"
    plain = read_mapping(path, cure)
    if plain.get("format") != FORMAT:
        raise InputError(f"not of format {FORMAT}", file=path, field="format", cure=cure)
    result = validated(Result, plain, path, cure)
    if manifest := read_manifest(path.parent):
        if path.name in manifest.files:
            manifest.read(path.parent, path.name)
        result.check_program(path, manifest)
    return result


def read_results(paths: Iterable[Path]) -> list[Result]:
    """Read files, and all result files below folders.

    Raises:
        InputError: one cannot be read, or two have the same task, backbone (or model), blocks, k, widths, target and
            seed.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(path.rglob(PATTERN))
            if not found:
                raise InputError(f"no {PATTERN} below it", file=path, cure="give result files or a folder of them")
            files += found
        elif path.is_file():
            files.append(path)
        else:
            raise InputError("no such file or folder", file=path, cure="give result files or a folder of them")
    results = []
    seen: dict[tuple[Any, ...], Path] = {}
    for file in dict.fromkeys(file.resolve() for file in files):
        result = read_result(file)
        for scores in result.spiking:
            key = (result.title, *result.lineage, scores.k, scores.intermediate, scores.weights, result.seed)
            if key in seen:
                problem = f"{result.title} at k = {scores.k} with seed {result.seed} is in {seen[key]} too"
                raise InputError(problem, file=file, field="seed", cure="give each run once")
            seen[key] = file
        results.append(result)
    return results
