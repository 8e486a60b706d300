"""The training loop of one phase, for teachers and students. It resumes exactly where it was interrupted."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..errors import InputError
from ..storage import put_folder
from ..tasks.tokens import Tokens
from .batches import ENDLESS, steps_of, token_batches
from .measure import Flips, Measure
from .recipe import EVALUATIONS, Phase
from .state import Progress, Stateful, load_state, save_state
from .steps import Descent, Loss, Steps, adam

HELD_AND_LEARNED = (("divergence", "learned"), ("hidden_error", "hidden"))
"""Pairs of figures that tell whether training stalls: one on held-out rows, and the same on training rows."""

STALLED = "no progress on held-out rows in {} evaluations, while training still improved: add rows, not steps"

SHORTEST_STEP = 1e-5
"""Lower bound in seconds for the time of a step, as measured time in float32 may not advance within a short step."""


@dataclass(frozen=True)
class Extras:
    """What is saved in addition to a network.

    Attributes:
        tokenizer: saved with each network that is kept.
        parts: parts of the loss that have a state, by name; saved in checkpoints.
    """

    tokenizer: PreTrainedTokenizerBase | None = None
    parts: Mapping[str, Stateful] = field(default_factory=dict)

    def save(self, model: PreTrainedModel, folder: Path) -> None:
        """Write a network and its tokenizer to a folder."""
        model.save_pretrained(folder)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)


NO_EXTRAS = Extras()


def begin(model: PreTrainedModel, phase: Phase, total: int, accelerator: Accelerator) -> Descent:
    """Prepare the training of a model in ``total`` steps."""
    running = get_ema_multi_avg_fn(phase.average)  # type: ignore[no-untyped-call]
    average = AveragedModel(model, multi_avg_fn=running) if phase.average else None
    _exclude_from_ddp(model, torch.int16)
    return Descent(model, adam(model, phase), average, accelerator, total)


def descend(descent: Descent, loss: Loss, batches: Iterable[dict[str, Tensor]], phase: Phase) -> Iterator[Steps]:
    """Take a training step for each batch, and yield the object that collects the figures.

    Raises:
        InputError: loss or gradient is NaN or infinite, or a GPU has too little memory.
    """
    steps = Steps(descent, loss, phase)
    for batch in batches:
        steps(batch)
        yield steps


def run_phase(
    model: PreTrainedModel,
    loss: Loss,
    measure: Measure,
    train: Tokens,
    selection: Tokens,
    phase: Phase,
    folder: Path,
    seed: int,
    *,
    tracker: str | None = None,
    extras: Extras = NO_EXTRAS,
) -> Progress:
    """Train ``model`` in place. The weights that score best on ``selection`` are saved in ``folder/best``.

    Args:
        model: teacher or student.
        loss: its loss.
        measure: evaluates it on ``selection``.
        train, selection: training rows, and held-out rows.
        phase: settings.
        folder: folder of the phase. It also gets the state from which the phase is resumed.
        seed: seed of the order of rows.
        tracker: see :func:`check_tracker`.
        extras: what is saved in addition.
    """
    cpu = not torch.cuda.is_available()
    accelerator = Accelerator(cpu=cpu, log_with=tracker, project_dir=folder.parent / "logs")
    total = steps_of(train, phase, seed)
    descent = begin(model, phase, total, accelerator)
    parts: dict[str, Stateful] = {"model": model, **extras.parts}
    if descent.average is not None:
        parts["average"] = descent.average
    progress = load_state(folder / "last", parts, descent.optimizer)
    if progress.done:
        return progress
    descent.step, flips, began = progress.step, Flips(model), time.monotonic() - progress.seconds
    clock = Clock(progress.step, progress.seconds)
    batches = token_batches(train, phase, seed, progress.step, total, accelerator)
    with _tracking(accelerator, folder, phase), bar(descent, folder.name) as shown:
        for steps in descend(descent, loss, batches, phase):
            spent = _agreed(time.monotonic() - began, phase, accelerator)
            if phase.minutes is not None:
                descent.total = min(total, clock.foresee(descent.step, spent, 60 * phase.minutes))
                shown.total = None if descent.total == ENDLESS else descent.total
            if shown.update():
                show(shown, steps)
            progress.done = descent.step >= descent.total
            if not (progress.done or is_due(phase, descent.step, spent - progress.seconds)):
                continue
            steps.check()
            show(shown, steps)
            found, figures = measure(descent.kept, selection, accelerator), steps.read()
            progress.note(descent.step, spent, found.score, {**figures, **flips.since(model), **found.figures})
            accelerator.log(progress.history[-1], step=descent.step)
            if accelerator.is_main_process:
                print_evaluation(progress.history, phase, folder.name)
                if progress.best_step == descent.step:
                    put_folder(folder / "best", "network", partial(extras.save, descent.kept))
                save_state(folder / "last", parts, descent.optimizer, progress)
            accelerator.wait_for_everyone()
            if progress.done:
                break
    return progress


def _agreed(spent: float, phase: Phase, accelerator: Accelerator) -> float:
    """Seconds since the phase began. They are the same in every process if the clock decides."""
    if phase.minutes is None or accelerator.num_processes == 1:
        return spent
    return float(reduce(torch.tensor(spent, device=accelerator.device), "mean"))


def is_due(phase: Phase, step: int, since: float) -> bool:
    """Whether a phase is due for an evaluation after a step, given the seconds since the last one."""
    if phase.minutes is None:
        return step % phase.evaluate_every == 0
    return since >= 60 * phase.minutes / EVALUATIONS


def stalls(history: Sequence[Mapping[str, float]], patience: int) -> bool:
    """Whether training has begun to stall with the last evaluation (:func:`_is_stalled`)."""
    return _is_stalled(history, patience) and not _is_stalled(history[:-1], patience)


def _is_stalled(history: Sequence[Mapping[str, float]], patience: int) -> bool:
    """Whether the last ``patience`` evaluations showed no progress on held-out rows, but still some on training rows.

    Training rows are then being memorized.
    """
    pair = next(
        (names for names in HELD_AND_LEARNED if history and names[0] in history[-1] and names[1] in history[-1]), None
    )
    if pair is None or len(history) <= patience:
        return False
    held, learned = ([entry[name] for entry in history] for name in pair)
    return len(held) - 1 - held.index(min(held)) >= patience and min(learned[-patience:]) < min(learned[:-patience])


@dataclass
class Clock:
    """Predicts the number of steps of a phase that is bounded by the clock.

    The first step of a process is ignored, since code is compiled in it. Otherwise the phase would seem too short for
    its warm-up.

    Args:
        step, seconds: progress of the phase so far, and the time that it took.
    """

    step: int
    seconds: float
    began: tuple[int, float] | None = None
    """First step of this process, and when it ended."""

    def foresee(self, step: int, spent: float, seconds: float) -> int:
        """Predict the steps of a phase of this many seconds, after ``step`` steps that took ``spent`` seconds.
        :data:`ENDLESS`: unknown so far.
        """
        if spent >= seconds:
            return step
        if self.began is None:
            self.began = step, spent
            return max(step + 1, round(self.step * seconds / self.seconds)) if self.step else ENDLESS
        each = (spent - self.began[1]) / (step - self.began[0])
        return step + max(1, round((seconds - spent) / max(each, SHORTEST_STEP)))


def _exclude_from_ddp(model: nn.Module, dtype: torch.dtype) -> None:
    """Exclude tensors of a type that gloo cannot send from DDP's synchronization.

    These are silent levels, which are the same in every process anyway.
    """
    names = [name for name, value in model.state_dict().items() if value.dtype == dtype]
    parallel = nn.parallel.DistributedDataParallel
    parallel._set_params_and_buffers_to_ignore_for_model(model, names)  # type: ignore[no-untyped-call]


def check_tracker(name: str | None) -> None:
    """Check that accelerate can report to a tracker (TensorBoard, Weights & Biases, …).

    Raises:
        InputError: accelerate does not know it, or it is not installed.
    """
    if name is not None and name not in [str(tracker) for tracker in get_available_trackers()]:
        cure = f"choose one of {', '.join(LOGGER_TYPE_TO_CLASS)}, and pip install it (tensorboard: tensorboardX)"
        raise InputError(f"no tracker {name!r}", field="tracker", cure=cure)


@contextmanager
def _tracking(accelerator: Accelerator, folder: Path, phase: Phase) -> Iterator[None]:
    """Context in which ``accelerator.log`` reports to the requested tracker, if any."""
    if accelerator.log_with:
        plain = {k: v for k, v in phase if isinstance(v, (int, float, str))}
        accelerator.init_trackers(folder.name, config=plain)
    try:
        yield
    finally:
        for running in accelerator.trackers:
            running.finish()


def bar(descent: Descent, name: str) -> tqdm[Any]:
    """Make a progress bar for one process. In a pipe or a file, it prints a line per minute and one at the end."""
    return tqdm(
        total=None if descent.total == ENDLESS else descent.total,
        initial=descent.step,
        desc=name,
        disable=not descent.accelerator.is_main_process,
        mininterval=0.5 if sys.stderr.isatty() else 60,
    )


def show(shown: tqdm[Any], steps: Steps) -> None:
    """Show the latest figures after a bar."""
    shown.set_postfix({k: f"{v:.4g}" for k, v in steps.means().items()}, refresh=False)


def print_evaluation(history: Sequence[Mapping[str, float]], phase: Phase, name: str) -> None:
    """Print the result of a phase's last evaluation, and a message when training has begun to stall."""
    line = " ".join(f"{k} {v:.4g}" if k != "step" else f"step {v}" for k, v in history[-1].items())
    tqdm.write(line, file=sys.stderr)
    if stalls(history, phase.patience):
        tqdm.write(f"{name}: {STALLED.format(phase.patience)}", file=sys.stderr)
