"""Run a program on the rows of a task: metrics, silence, trace. Memory does not grow with the number of rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..program import Program, Trace
from ..program.decision import check_classifier
from ..runtime import Engine
from .metrics import compute_metrics, interval
from .tables import Progress
from .task import Task, check_texts, tasks
from .tokens import Tokens, sorted_batches


class Prediction(NamedTuple):
    """Logits float32 ``[rows, labels]``, the trace of the run, and the seconds that the engine took."""

    logits: NDArray[np.float32]
    trace: Trace
    seconds: float


@dataclass(frozen=True)
class Evaluation:
    """Result of :func:`evaluate`.

    Attributes:
        metrics: values by metric, the main one first.
        trace: trace of the run.
        seconds: time that the engine took, in s.
        n: number of rows.
        low, high: 95 % interval of the main metric (:func:`~matterhorn.tasks.metrics.interval`).
    """

    metrics: dict[str, float]
    trace: Trace
    seconds: float
    n: int
    low: float
    high: float

    @property
    def silent_share(self) -> float:
        """Share of neuron-windows without an event, over all connections."""
        return self.trace.silent_share

    @property
    def quiet_share(self) -> float:
        """Share of synaptic operations that never happen."""
        return self.trace.quiet_share

    @property
    def events_per_token(self) -> float:
        """Spikes per token. A spike that feeds three connections counts once."""
        return self.trace.spikes / max(1, self.trace.tokens)


def evaluate(
    program: Program,
    tokens: Tokens,
    task: Task,
    *,
    backend: str | Engine = "events",
    batch_size: int = 32,
    progress: Callable[[str], Progress] = lambda _: iter,
    shard: tuple[int, int] = (0, 1),
    gather: Callable[[Prediction], Sequence[Prediction]] = lambda own: [own],
) -> Evaluation:
    """Compute metrics and trace of a program on tokenized rows with labels.

    Args:
        backend: name of a backend, or an engine that runs this program.
        progress: returns a progress bar with the given title.
        shard: see :func:`predict`.
        gather: collects the predictions of all processes.

    Raises:
        InputError: the program was trained for another task or has other outputs, or rows have no labels.
    """
    check_task(program, task)
    if not tokens.labels:
        raise InputError("rows without labels", field="split", cure="give a split that has them, e.g. dev")
    own = predict(program, tokens, backend=backend, batch_size=batch_size, progress=progress("evaluate"), shard=shard)
    logits, trace, seconds = joined(gather(own))
    metrics = compute_metrics(task, logits, tokens.labels)
    ends = interval(task, logits, tokens.labels, progress=progress("interval"))
    return Evaluation(metrics, trace, seconds, len(tokens), *ends)


def predict(
    program: Program,
    tokens: Tokens,
    *,
    backend: str | Engine = "events",
    batch_size: int = 32,
    progress: Progress = iter,
    shard: tuple[int, int] = (0, 1),
) -> Prediction:
    """Run a program on tokenized rows and return logits, trace and seconds.

    ``shard``: (i, n) to run only every n-th batch, from batch i on. The logits of all other rows are 0.
    """
    engine = Engine(program, backend=backend) if isinstance(backend, str) else backend
    logits = np.zeros((len(tokens), len(program.labels)), dtype=np.float32)
    trace, seconds = Trace(program.shape, program.config.vocab_size, len(program.labels), program.hash), 0.0
    for rows in progress(sorted_batches(tokens, batch_size)[shard[0] :: shard[1]]):
        batch = tokens.encoded(rows)
        start = time.perf_counter()
        output = engine(**batch, trace=True)
        seconds += time.perf_counter() - start
        logits[rows] = output.logits
        assert output.trace is not None
        trace.merge(output.trace)
    return Prediction(logits, trace, seconds)


def check_task(program: Program, task: Task) -> None:
    """Check that a program can be evaluated on a task's rows and labels.

    Raises:
        InputError: the program was trained for another shipped task, for another number of texts, or for no task; or it
            has other outputs, or the same in another order.
    """
    check_classifier(program.task, program.path)
    if task_for(program, task).classes != task.classes:
        problem = f"the model's outputs are {', '.join(program.labels)}, in another order than those of {task.name}"
        raise InputError(problem, file=program.path, field="labels", cure="number rows by task_for(program, task)")


def task_for(program: Program, task: Task) -> Task:
    """Return a task with its labels in the order of a program's outputs (:meth:`.task.Task.for_labels`).

    Raises:
        InputError: the program was trained for another shipped task, or has another kind of answers.
    """
    if task.name in tasks() and program.task in tasks() and program.task != task.name:
        problem = f"the model was trained for {program.task}, not for {task.name}"
        raise InputError(problem, file=program.path, field="task", cure="give a model of this task")
    check_texts(len(task.text), program.task, program.texts, program.path)
    try:
        fitting = task.for_labels(program.labels)
    except InputError as error:
        raise InputError(str(error), file=program.path) from error
    if program.problem_type != task.problem_type:
        problem = f"the model answers {program.problem_type}, {task.name} is {task.problem_type}"
        raise InputError(problem, file=program.path, field="problem_type", cure="give a model of this kind")
    return fitting


def joined(parts: Sequence[Prediction]) -> Prediction:
    """Combine shards: logits and traces are added, and the time is that of the slowest shard."""
    first, *others = parts
    for other in others:
        first.trace.merge(other.trace)
    logits = np.sum([part.logits for part in parts], axis=0)
    return Prediction(logits, first.trace, max(part.seconds for part in parts))
