"""One phase of training: the loop that fine-tuning and distillation share. Resumes exactly where it was killed."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm
from transformers import PreTrainedModel

from ..nn.linear import QuantisedLinear
from .checkpoint import load_state, save_state
from .data import Tokens, shuffled_batches, sorted_batches
from .flips import Flips
from .mean import mean_network, remember, remembered
from .metrics import compute_metrics
from .recipe import Phase
from .tasks import Task
from .tracking import TRACKER

RECENT = "recent"
"""Folder of a phase with its last networks, while it runs."""

Loss = Callable[[nn.Module, dict[str, Tensor]], tuple[Tensor, dict[str, float]]]
"""(model, batch) → (loss to minimise, figures to show)."""

Measure = Callable[[nn.Module, Tokens, Accelerator], dict[str, float]]
"""(model, rows, processes) → figures of an evaluation, the one to choose by first (the larger the better)."""


@dataclass
class Progress:
    """Where a phase stands; plain JSON."""

    step: int = 0
    best: float = -math.inf
    best_step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    done: bool = False
    carried: dict[str, float] = field(default_factory=dict)
    """Figures that a loss keeps from step to step (the price of an event)."""


def run_phase(
    model: PreTrainedModel,
    loss: Loss,
    measure: Measure,
    train: Tokens,
    selection: Tokens,
    phase: Phase,
    folder: Path,
    seed: int,
    carried: dict[str, float] | None = None,
    score: Callable[[float], float] = float,
) -> Progress:
    """Train ``model`` in place and leave the best weights in ``folder/best``.

    ``carried`` is kept in the checkpoint. ``score`` turns the first figure that ``measure`` gives on ``selection`` into
    the number to maximise (default: itself).
    """
    course = _begin(model, phase, folder, train, carried)
    if course.progress.done:
        return course.progress
    wrapped = course.accelerator.prepare(model)
    course.optimizer = course.accelerator.prepare(course.optimizer)
    lean = torch.autocast(course.accelerator.device.type, torch.bfloat16, enabled=multiplies_bf16())
    with _reported(course, phase), _bar(course) as bar:
        clock = time.monotonic()
        for batch in _batches(train, phase.batch_size, seed, course.progress.step, course.total, course.accelerator):
            wrapped.train()
            with lean:
                value, figures = loss(wrapped, batch)
            _update(course, value, phase)
            bar.update()
            bar.set_postfix({k: f"{v:.4g}" for k, v in figures.items()}, refresh=False)
            if course.progress.step % phase.evaluate_every == 0 or course.progress.step == course.total:
                course.progress.seconds += time.monotonic() - clock
                network, measured = _measured(course, phase, lambda it: measure(it, selection, course.accelerator))
                _assess(course, network, figures, measured, score)
                clock = time.monotonic()
    if course.accelerator.is_main_process:
        shutil.rmtree(folder / RECENT, ignore_errors=True)
    return course.progress


@dataclass
class _Course:
    """What a phase carries from step to step."""

    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    accelerator: Accelerator
    progress: Progress
    flips: Flips
    folder: Path
    total: int
    """Steps of the whole phase."""

    @property
    def kept(self) -> PreTrainedModel:
        """The network that is evaluated and kept: the average, if there is one."""
        return self.average.module if self.average else self.model  # type: ignore[return-value]


def _begin(
    model: PreTrainedModel, phase: Phase, folder: Path, train: Tokens, carried: dict[str, float] | None
) -> _Course:
    """A phase at its start, or where it was killed."""
    logs = folder.parent / "logs"
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), log_with=TRACKER.get(), project_dir=logs)
    optimizer = _optimizer(model, phase)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(phase.average)) if phase.average else None
    progress = Progress(**(load_state(folder / "last", model, optimizer, average) or {}))
    if carried is not None:
        carried.update(progress.carried)
        progress.carried = carried
    _leave_alone(model, torch.int16)
    steps_per_epoch = math.ceil(len(train) / phase.batch_size / accelerator.num_processes)
    total = max(1, round(phase.epochs * steps_per_epoch))
    return _Course(model, optimizer, average, accelerator, progress, Flips(model), folder, total)


def _update(course: _Course, loss: Tensor, phase: Phase) -> None:
    """One step of the optimizer down the loss."""
    for group in course.optimizer.param_groups:
        group["lr"] = group["peak"] * _schedule(course.progress.step, course.total, phase.warmup)
    course.accelerator.backward(loss)
    course.accelerator.clip_grad_norm_(course.model.parameters(), phase.clip_norm)
    course.optimizer.step()
    course.optimizer.zero_grad()
    if course.average:
        course.average.update_parameters(course.model)
    course.progress.step += 1


def _measured(
    course: _Course, phase: Phase, measure: Callable[[PreTrainedModel], dict[str, float]]
) -> tuple[PreTrainedModel, dict[str, float]]:
    """The network as it is now and its figures, or at a phase's end the mean of its last ones if that is better."""
    now = course.kept, measure(course.kept)
    if not phase.mean_of:
        return now
    recent = course.folder / RECENT
    if course.accelerator.is_main_process:
        remember(recent, course.progress.step, course.kept, phase.mean_of)
    course.accelerator.wait_for_everyone()
    if course.progress.step < course.total:
        return now
    network = mean_network(recent, course.kept)
    mean = network, measure(network) | {"mean_of": len(remembered(recent))}
    return max(now, mean, key=lambda found: next(iter(found[1].values())))


def _assess(
    course: _Course,
    network: PreTrainedModel,
    figures: dict[str, float],
    measured: dict[str, float],
    score: Callable[[float], float],
) -> None:
    """Note an evaluation, keep the network if it is the best, and save the state to go on from."""
    progress, main = course.progress, course.accelerator.is_main_process
    _note(progress, figures | course.flips.since(course.model) | measured, score(next(iter(measured.values()))))
    course.accelerator.log(progress.history[-1], step=progress.step)
    progress.done = progress.step == course.total
    if main:
        _show(progress.history[-1])
        _keep(course.folder, network, progress)
        save_state(course.folder / "last", course.model, course.optimizer, vars(progress), course.average)
    course.accelerator.wait_for_everyone()


@contextmanager
def _reported(course: _Course, phase: Phase) -> Iterator[None]:
    """While the phase runs, its evaluations go to the tracker that was asked for."""
    if TRACKER.get():
        course.accelerator.init_trackers(course.folder.name, config={k: v for k, v in phase if v is not None})
    yield
    for running in course.accelerator.trackers:
        running.finish()


def _bar(course: _Course) -> tqdm:
    return tqdm(
        total=course.total,
        initial=course.progress.step,
        desc=course.folder.name,
        disable=not course.accelerator.is_main_process,
        mininterval=0.5 if sys.stderr.isatty() else 60,
    )


def metrics_of(task: Task) -> Measure:
    """A task's metrics, as a phase measures them."""
    return lambda model, rows, accelerator: evaluate_tokens(model, task, rows, accelerator)


def evaluate_tokens(
    model: nn.Module, task: Task, tokens: Tokens, accelerator: Accelerator | None = None, batch_size: int = 64
) -> dict[str, float]:
    """Metrics of a model on tokenised rows, in float32; with an accelerator, shared among its processes."""
    logits = predict_tokens(model, tokens, accelerator, batch_size)
    return compute_metrics(task, logits.numpy(), torch.tensor(tokens.labels).numpy())


def predict_tokens(
    model: nn.Module, tokens: Tokens, accelerator: Accelerator | None = None, batch_size: int = 64
) -> Tensor:
    """Logits ``[rows, outputs]`` of a model in eval mode; with an accelerator, shared among its processes."""
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    device = next(model.parameters()).device
    mine = sorted_batches(tokens, batch_size)[rank::world]
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        pieces = []
        for rows in mine:
            batch = {k: v.to(device) for k, v in tokens.batch(rows).items() if k != "labels"}
            pieces.append((rows, model(**batch).logits.float().cpu()))
    model.train(was_training)
    if accelerator is not None and world > 1:
        from accelerate.utils import gather_object

        pieces = gather_object(pieces)
    answers = torch.cat([logits for _, logits in pieces])
    order = torch.tensor([row for rows, _ in pieces for row in rows])
    return torch.empty_like(answers).index_copy(0, order, answers)


def multiplies_bf16() -> bool:
    """True where the processor multiplies bfloat16 natively."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _optimizer(model: nn.Module, phase: Phase) -> torch.optim.AdamW:
    """Fused AdamW; vectors and scalars (biases, norms, steps) are not decayed, latent weights have their own rate."""
    latent = {module.weight for module in model.modules() if isinstance(module, QuantisedLinear)}
    trainable = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trainable if p.dim() > 1 and p not in latent]
    vectors = [p for p in trainable if p.dim() <= 1]
    rate, decay = phase.learning_rate, phase.weight_decay
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": decay, "peak": rate},
        {"params": [p for p in trainable if p in latent], "weight_decay": decay, "peak": rate * phase.latent_rate},
        {"params": vectors, "weight_decay": 0.0, "peak": rate},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=phase.learning_rate, fused=True)


def _leave_alone(model: nn.Module, dtype: torch.dtype) -> None:
    """Keep tensors of a type that gloo cannot send (embedding tables) out of DDP's exchange: every process has them."""
    names = [name for name, value in model.state_dict().items() if value.dtype == dtype]
    nn.parallel.DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, names)


def _schedule(step: int, total: int, warmup: float) -> float:
    """Linear warm-up, then linear decay to zero."""
    rise = max(1, round(warmup * total))
    return (step + 1) / rise if step < rise else max(0.0, (total - step) / max(1, total - rise))


def _batches(
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
                yield {k: v.to(accelerator.device) for k, v in train.batch(rows).items()}
            step += 1
        epoch += 1


def _note(progress: Progress, figures: dict[str, float], score: float) -> None:
    progress.history.append({"step": progress.step, **figures})
    if score > progress.best:
        progress.best, progress.best_step = score, progress.step


def _show(figures: dict[str, float]) -> None:
    tqdm.write(" ".join(f"{k} {v:.4f}" if k != "step" else f"step {v}" for k, v in figures.items()))


def _keep(folder: Path, model: PreTrainedModel, progress: Progress) -> None:
    """Save the best model if this is it."""
    if progress.best_step == progress.step:
        fresh, best = folder / "best.tmp", folder / "best"
        shutil.rmtree(fresh, ignore_errors=True)
        model.save_pretrained(fresh)
        (fresh / "training.json").write_text(json.dumps(vars(progress), indent=1))
        shutil.rmtree(best, ignore_errors=True)
        os.replace(fresh, best)
