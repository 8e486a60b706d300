"""The training loop: one phase, of a teacher or a student alike. It resumes exactly where it was killed."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..errors import InputError
from ..storage import put_folder
from ..tasks.tokens import Tokens, shuffled_batches
from .measure import Flips, Measure, on_device
from .recipe import EVALUATIONS, Phase
from .state import Progress, Stateful, load_state, save_state

ENDLESS = 2**31
"""Steps of a phase that only the clock ends."""

Loss = Callable[[nn.Module, dict[str, Tensor]], tuple[Tensor, dict[str, float]]]
"""(model, batch) → what is minimized, and figures to show."""


@dataclass
class Descent:
    """A model on its way down a loss."""

    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    accelerator: Accelerator
    total: int
    """Steps of the whole phase; where the clock bounds it, as far as can be foreseen."""
    step: int = 0

    @property
    def kept(self) -> PreTrainedModel:
        """The network that is evaluated and kept: the average, if there is one."""
        return cast(PreTrainedModel, self.average.module) if self.average else self.model


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


def descend(
    descent: Descent, loss: Loss, batches: Iterable[dict[str, Tensor]], phase: Phase
) -> Iterator[dict[str, float]]:
    """Take a step down the loss for each batch, and yield its figures.

    Raises:
        InputError: loss or gradient is NaN or infinite.
    """
    accelerator = descent.accelerator
    wrapped = accelerator.prepare(descent.model)
    descent.optimizer = accelerator.prepare(descent.optimizer)
    lean = torch.autocast(accelerator.device.type, torch.bfloat16, enabled=multiplies_bf16())
    for batch in batches:
        wrapped.train()
        with lean:
            value, figures = loss(wrapped, batch)
        _refuse_divergence(value, "loss", descent)
        for group in descent.optimizer.param_groups:
            group["lr"] = phase.learning_rate * _schedule(descent.step, descent.total, phase.warmup)
        accelerator.backward(value)
        _refuse_divergence(
            accelerator.clip_grad_norm_(descent.model.parameters(), phase.clip_norm), "gradient", descent
        )
        descent.optimizer.step()
        descent.optimizer.zero_grad()
        if descent.average:
            descent.average.update_parameters(descent.model)
        descent.step += 1
        yield figures


def _refuse_divergence(value: Tensor | None, what: str, descent: Descent) -> None:
    """Stop before a step that would make weights boundless: those in memory, and what was saved, stay as they are.

    Raises:
        InputError: ``value`` is NaN or infinite.
    """
    if value is not None and not bool(torch.isfinite(value.detach()).all()):
        problem = f"diverged: the {what} is {float(value.detach().max())} at step {descent.step}"
        cure = "lower it and start anew; what was saved before is as it was"
        raise InputError(problem, field="learning_rate", cure=cure)


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
    total = ENDLESS
    if phase.minutes is None:
        total = max(1, round(phase.epochs * math.ceil(len(train) / phase.batch_size / accelerator.num_processes)))
    descent = begin(model, phase, total, accelerator)
    parts: dict[str, Stateful] = {"model": model, **beside.remembered}
    if descent.average is not None:
        parts["average"] = descent.average
    progress = load_state(folder / "last", parts, descent.optimizer)
    if progress.done:
        return progress
    descent.step, flips, began = progress.step, Flips(model), time.monotonic() - progress.seconds
    evaluated = progress.seconds
    batches = token_batches(train, phase.batch_size, seed, progress.step, total, accelerator)
    with _reported(accelerator, folder, phase), bar(descent, folder.name) as shown:
        for figures in descend(descent, loss, batches, phase):
            spent = time.monotonic() - began
            if phase.minutes is not None:
                descent.total = shown.total = foresee(descent.step, spent, 60 * phase.minutes)
            shown.update()
            shown.set_postfix({k: f"{v:.4g}" for k, v in figures.items()}, refresh=False)
            if phase.minutes is None:
                due = descent.step % phase.evaluate_every == 0
            else:
                due = spent - evaluated >= 60 * phase.minutes / EVALUATIONS
            progress.done = descent.step >= descent.total
            if not (due or progress.done):
                continue
            progress.step, progress.seconds, evaluated = descent.step, spent, spent
            found = measure(descent.kept, selection, accelerator)
            progress.history.append({"step": descent.step, **figures, **flips.since(model), **found.figures})
            accelerator.log(progress.history[-1], step=descent.step)
            if found.score > progress.best:
                progress.best, progress.best_step = found.score, descent.step
            if accelerator.is_main_process:
                _show(progress.history[-1])
                if progress.best_step == descent.step:
                    put_folder(folder / "best", "network", partial(beside.save, descent.kept))
                save_state(folder / "last", parts, descent.optimizer, progress)
            accelerator.wait_for_everyone()
            if progress.done:
                break
    return progress


def foresee(step: int, spent: float, seconds: float) -> int:
    """Steps that a phase of so many seconds will have, when ``step`` of them took ``spent``."""
    return step if spent >= seconds else max(step + 1, round(step * seconds / spent))


def token_batches(
    train: Tokens, batch_size: int, seed: int, done: int, total: int, accelerator: Accelerator
) -> Iterator[dict[str, Tensor]]:
    """This process's batches from step ``done`` to ``total``; the order depends on seed and epoch only."""
    world, rank, step, epoch = accelerator.num_processes, accelerator.process_index, 0, 0
    while step < total:
        batches = list(shuffled_batches(train, batch_size, 1000 * seed + epoch))
        batches += batches[: -len(batches) % world]
        for rows in batches[rank::world]:
            if step >= total:
                return
            if step >= done:
                yield on_device(train.batch(rows), accelerator.device)
            step += 1
        epoch += 1


def adam(model: nn.Module, phase: Phase) -> torch.optim.AdamW:
    """Fused AdamW; vectors and scalars (biases, norms, scales) are not decayed."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trainable if p.dim() > 1], "weight_decay": phase.weight_decay},
        {"params": [p for p in trainable if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=phase.learning_rate, fused=True)


def multiplies_bf16() -> bool:
    """True where the processor multiplies bfloat16 natively."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _leave_alone(model: nn.Module, dtype: torch.dtype) -> None:
    """Keep tensors of a type that gloo cannot send (silent levels) out of DDP's exchange: every process has them."""
    names = [name for name, value in model.state_dict().items() if value.dtype == dtype]
    parallel = nn.parallel.DistributedDataParallel
    parallel._set_params_and_buffers_to_ignore_for_model(model, names)  # type: ignore[no-untyped-call]


def _schedule(step: int, total: int, warmup: float) -> float:
    """Linear warm-up, then linear decay to zero."""
    rise = max(1, round(warmup * total))
    return (step + 1) / rise if step < rise else max(0.0, (total - step) / max(1, total - rise))


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
    """A progress bar of one process."""
    return tqdm(
        total=None if descent.total == ENDLESS else descent.total,
        initial=descent.step,
        desc=name,
        disable=not descent.accelerator.is_main_process,
        mininterval=0.5 if sys.stderr.isatty() else 60,
    )


def _show(figures: dict[str, float]) -> None:
    line = " ".join(f"{k} {v:.4f}" if k != "step" else f"step {v}" for k, v in figures.items())
    tqdm.write(line, file=sys.stderr)
