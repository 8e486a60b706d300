"""The training loop: one phase, of a teacher or a student alike. It resumes exactly where it was killed."""

from __future__ import annotations

import math
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
from ..tasks.tokens import Tokens, even_batches, shuffled_batches
from .measure import Flips, Measure, on_device
from .recipe import EVALUATIONS, Phase
from .state import Progress, Stateful, load_state, save_state
from .steps import Descent, Loss, Steps, adam

SIDES = (("divergence", "learned"), ("hidden_error", "hidden"))
"""Figures on the rows held out, and the same on those that are learned."""

STALLED = "{} evaluations gained nothing on rows held out while training still fell: it wants rows, not steps"

ENDLESS = 2**31
"""Steps of a phase that only the clock ends."""

MOST = 4
"""As many times the usual rows a step may count as, where scales follow what it sent."""

BRIEFEST = 1e-5
"""Seconds of a step, at least: processes agree on the time in float32, which may stand still for one."""


@dataclass(frozen=True)
class Kept:
    """What is kept beside a network: the tokenizer, and what the loss remembers from pass to pass, by name."""

    tokenizer: PreTrainedTokenizerBase | None = None
    remembered: Mapping[str, Stateful] = field(default_factory=dict)

    def save(self, model: PreTrainedModel, folder: Path) -> None:
        """Write a network and its tokenizer to a folder."""
        model.save_pretrained(folder)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)


NOTHING = Kept()


def begin(model: PreTrainedModel, phase: Phase, total: int, accelerator: Accelerator) -> Descent:
    """A descent of ``total`` steps, at its start."""
    running = get_ema_multi_avg_fn(phase.average)  # type: ignore[no-untyped-call]
    average = AveragedModel(model, multi_avg_fn=running) if phase.average else None
    _leave_alone(model, torch.int16)
    return Descent(model, adam(model, phase), average, accelerator, total)


def descend(descent: Descent, loss: Loss, batches: Iterable[dict[str, Tensor]], phase: Phase) -> Iterator[Steps]:
    """Take a step down the loss for each batch, and yield what remembers their figures.

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
    beside: Kept = NOTHING,
) -> Progress:
    """Train ``model`` in place; the weights that score best on ``selection`` land in ``folder/best``.

    ``tracker``: see :func:`check_tracker`; ``beside``: what is kept beside the network.
    """
    cpu = not torch.cuda.is_available()
    accelerator = Accelerator(cpu=cpu, log_with=tracker, project_dir=folder.parent / "logs")
    total = steps_of(train, phase, seed)
    descent = begin(model, phase, total, accelerator)
    parts: dict[str, Stateful] = {"model": model, **beside.remembered}
    if descent.average is not None:
        parts["average"] = descent.average
    progress = load_state(folder / "last", parts, descent.optimizer)
    if progress.done:
        return progress
    descent.step, flips, began = progress.step, Flips(model), time.monotonic() - progress.seconds
    clock = Clock(progress.step, progress.seconds)
    batches = token_batches(train, phase, seed, progress.step, total, accelerator)
    with _reported(accelerator, folder, phase), bar(descent, folder.name) as shown:
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
                tell(progress.history, phase, folder.name)
                if progress.best_step == descent.step:
                    put_folder(folder / "best", "network", partial(beside.save, descent.kept))
                save_state(folder / "last", parts, descent.optimizer, progress)
            accelerator.wait_for_everyone()
            if progress.done:
                break
    return progress


def _agreed(spent: float, phase: Phase, accelerator: Accelerator) -> float:
    """Seconds since the phase began, the same in every process where the clock decides."""
    if phase.minutes is None or accelerator.num_processes == 1:
        return spent
    return float(reduce(torch.tensor(spent, device=accelerator.device), "mean"))


def is_due(phase: Phase, step: int, since: float) -> bool:
    """Whether a phase is evaluated after a step, so many seconds after it last was."""
    if phase.minutes is None:
        return step % phase.evaluate_every == 0
    return since >= 60 * phase.minutes / EVALUATIONS


def stalls(history: Sequence[Mapping[str, float]], patience: int) -> bool:
    """Whether it is since just now that the last ``patience`` evaluations brought nothing on the rows held out, while
    the same figure of the rows that are learned still fell: rows are learned by heart."""
    return _stands(history, patience) and not _stands(history[:-1], patience)


def _stands(history: Sequence[Mapping[str, float]], patience: int) -> bool:
    pair = next((names for names in SIDES if history and names[0] in history[-1] and names[1] in history[-1]), None)
    if pair is None or len(history) <= patience:
        return False
    held, learned = ([entry[name] for entry in history] for name in pair)
    return len(held) - 1 - held.index(min(held)) >= patience and min(learned[-patience:]) < min(learned[:-patience])


@dataclass
class Clock:
    """How many steps a phase by the clock will have. Of a process's steps the first is left out, in which code is
    compiled: judged by it, a phase would seem so short that it has no time to warm up.

    Args:
        step, seconds: where the phase stood, and what it had taken until then.
    """

    step: int
    seconds: float
    began: tuple[int, float] | None = None
    """The first step of this process, and when it ended."""

    def foresee(self, step: int, spent: float, seconds: float) -> int:
        """Steps of a phase of so many seconds, when ``step`` of them took ``spent``; :data:`ENDLESS`: not known yet."""
        if spent >= seconds:
            return step
        if self.began is None:
            self.began = step, spent
            return max(step + 1, round(self.step * seconds / self.seconds)) if self.step else ENDLESS
        each = (spent - self.began[1]) / (step - self.began[0])
        return step + max(1, round((seconds - spent) / max(each, BRIEFEST)))


def epoch_batches(train: Tokens, phase: Phase, seed: int) -> Iterable[tuple[list[int], int]]:
    """One epoch of a phase's batches: rows, and what they are padded to."""
    if phase.tokens:
        return even_batches(train, phase.tokens, seed)
    return ((rows, max(len(train.ids[i]) for i in rows)) for rows in shuffled_batches(train, phase.batch_size, seed))


def steps_of(train: Tokens, phase: Phase, seed: int) -> int:
    """Steps of a phase on rows, at most; of one that only the clock ends :data:`ENDLESS`."""
    if phase.steps or phase.minutes:
        return phase.steps or ENDLESS
    epoch = len(even_batches(train, phase.tokens, seed)) if phase.tokens else math.ceil(len(train) / phase.batch_size)
    return max(1, round(phase.epochs * epoch))


def usual_rows(train: Tokens, phase: Phase, seed: int) -> float:
    """Rows of a step that scales follow at their usual rate: ``batch_size``.

    Steps of many tokens have more. They count as :data:`MOST` times the usual at most, so that tens of thousands of
    tokens a step do not make scales overshoot; steps of a few thousand tokens are not affected.
    """
    if not phase.tokens:
        return phase.batch_size
    batches = even_batches(train, phase.tokens, seed)
    return max(phase.batch_size, sum(len(rows) for rows, _ in batches) / len(batches) / MOST)


def token_batches(
    train: Tokens, phase: Phase, seed: int, done: int, total: int, accelerator: Accelerator
) -> Iterator[dict[str, Tensor]]:
    """This process's rows of the batches from step ``done`` to ``total``; they depend on seed and epoch only, and are
    the same together however many processes share them."""
    world, rank, step, epoch = accelerator.num_processes, accelerator.process_index, 0, 0
    while step < total:
        for rows, length in epoch_batches(train, phase, 1000 * seed + epoch):
            if step >= total:
                return
            if step >= done:
                yield on_device(train.batch(rows[rank::world] or rows[:1], length), accelerator.device)
            step += 1
        epoch += 1


def _leave_alone(model: nn.Module, dtype: torch.dtype) -> None:
    """Keep tensors of a type that gloo cannot send (silent levels) out of DDP's exchange: every process has them."""
    names = [name for name, value in model.state_dict().items() if value.dtype == dtype]
    parallel = nn.parallel.DistributedDataParallel
    parallel._set_params_and_buffers_to_ignore_for_model(model, names)  # type: ignore[no-untyped-call]


def check_tracker(name: str | None) -> None:
    """Whether accelerate can report to a tracker (TensorBoard, Weights & Biases …).

    Raises:
        InputError: accelerate does not know it, or it is not installed.
    """
    if name is not None and name not in [str(tracker) for tracker in get_available_trackers()]:
        cure = f"choose one of {', '.join(LOGGER_TYPE_TO_CLASS)}, and pip install it (tensorboard: tensorboardX)"
        raise InputError(f"no tracker {name!r}", field="tracker", cure=cure)


@contextmanager
def _reported(accelerator: Accelerator, folder: Path, phase: Phase) -> Iterator[None]:
    """While the phase runs, its evaluations go to the tracker that was asked for, if any."""
    if accelerator.log_with:
        plain = {k: v for k, v in phase if isinstance(v, (int, float, str))}
        accelerator.init_trackers(folder.name, config=plain)
    yield
    for running in accelerator.trackers:
        running.finish()


def bar(descent: Descent, name: str) -> tqdm[Any]:
    """A progress bar of one process; in a pipe or a file, a line a minute and one at the end."""
    return tqdm(
        total=None if descent.total == ENDLESS else descent.total,
        initial=descent.step,
        desc=name,
        disable=not descent.accelerator.is_main_process,
        mininterval=0.5 if sys.stderr.isatty() else 60,
    )


def show(shown: tqdm[Any], steps: Steps) -> None:
    """Put the figures of late behind a bar."""
    shown.set_postfix({k: f"{v:.4g}" for k, v in steps.means().items()}, refresh=False)


def tell(history: Sequence[Mapping[str, float]], phase: Phase, name: str) -> None:
    """Say what the last evaluation of a phase found, and once it has stalled that it has."""
    line = " ".join(f"{k} {v:.4g}" if k != "step" else f"step {v}" for k, v in history[-1].items())
    tqdm.write(line, file=sys.stderr)
    if stalls(history, phase.patience):
        tqdm.write(f"{name}: {STALLED.format(phase.patience)}", file=sys.stderr)
