"""One training step, executed in the fastest way that works on the device: as a CUDA graph, compiled, or plainly."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm
from transformers import PreTrainedModel

from ..errors import InputError
from ..nn import QuantizedLinear
from ..nn.fusion import compiles
from .recipe import Distilling, Phase
from .silence import Silence

Batch = dict[str, Tensor]

Loss = Callable[[nn.Module, Batch], tuple[Tensor, dict[str, Tensor]]]
"""Maps (model, batch) to the loss and to figures to show: scalars on the model's device."""

WARM_UP = 2
"""Number of steps before a capture, which are undone. The optimizer creates its state in them."""

CHECKED = 32
"""Number of steps on a GPU between checks for NaN and infinity. A step that is not finite changes no weight."""

DESCRIPTIONS = {
    "graphs": "whole steps as CUDA graphs, one for each shape of batch",
    "compiled": "steps compiled in part",
    "plain": "plain steps",
}


@dataclass
class Descent:
    """A model in training.

    Attributes:
        model: the model.
        optimizer: its optimizer.
        average: moving average of its weights. None: there is none.
        accelerator: its device and processes.
        total: number of steps of the whole phase; a prediction if the phase is bounded by the clock.
        step: number of steps so far.
    """

    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    accelerator: Accelerator
    total: int
    step: int = 0

    @property
    def kept(self) -> PreTrainedModel:
        """The network that is evaluated and saved: the average, if there is one."""
        return cast(PreTrainedModel, self.average.module) if self.average else self.model


class Steps:
    """Takes the steps of a descent, and collects the means of their figures.

    Attributes:
        way: how steps are executed: ``graphs`` (teacher, student, loss, clipping, optimizer and control of silence as
            one CUDA graph; on a single GPU, with batches of fixed shapes), ``compiled`` or ``plain``. If one fails, a
            message says so, and the next one is used.
    """

    def __init__(self, descent: Descent, loss: Loss, phase: Phase):
        accelerator = descent.accelerator
        self.descent, self.loss, self.phase, self.device = descent, loss, phase, accelerator.device
        self.model = accelerator.prepare(descent.model)
        descent.optimizer = accelerator.prepare(descent.optimizer)
        if descent.average:
            descent.average.module.to(self.device)
        for group in descent.optimizer.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=self.device)  # each its own, filled in each step
        if silence := getattr(loss, "silence", None):
            silence.to(self.device)
        self.names: list[str] = []
        self.sums, self.diverged = torch.zeros(0), torch.zeros((), device=self.device)
        self.count = 0
        fixed = accelerator.num_processes == 1 and phase.tokens is not None and getattr(loss, "chips", None) is None
        self.way = "graphs" if self.device.type == "cuda" and fixed else "compiled" if compiles() else "plain"
        self.graphs: Graphs | None = None

    def __call__(self, batch: Batch) -> None:
        """Take one step.

        Raises:
            InputError: loss or gradient is NaN or infinite, or the GPU has too little memory.
        """
        descent = self.descent
        share = schedule(descent.step, descent.total, self.phase.warmup)
        for group in descent.optimizer.param_groups:
            group["lr"].fill_(group["highest"] * share)
        try:
            self._take(batch)
        except torch.OutOfMemoryError as error:
            field = "tokens" if self.phase.tokens else "batch_size"
            rows, length = batch["input_ids"].shape
            cure = f"lower it (now {getattr(self.phase, field)}), or max_length; what was saved before is as it was"
            raise InputError(f"out of GPU memory at {rows} rows of {length} tokens", field=field, cure=cure) from error
        if descent.average:
            descent.average.update_parameters(descent.model)
        is_first = self.count == 0 and descent.step == 0 and descent.accelerator.is_main_process
        if is_first and self.way != "plain":
            self._say(DESCRIPTIONS[self.way])
        descent.step += 1
        self.count += 1
        if self.device.type == "cpu" or descent.step % CHECKED == 0:
            self.check()

    def _take(self, batch: Batch) -> None:
        """Take one step in the present way, or if that fails, in the next one that works."""
        while True:
            try:
                return self._replay(batch) if self.way == "graphs" else self.step(batch)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                if self.way == "plain":
                    raise
                self._fall_back(error)

    def _fall_back(self, error: RuntimeError) -> None:
        """Change to the next way after an error."""
        before, self.graphs = self.way, None
        if before == "graphs":
            torch.cuda.synchronize()
            self.way = "compiled" if compiles() else "plain"
        else:
            torch.compiler.set_stance("force_eager")
            self.way = "plain"
        self._say(f"{DESCRIPTIONS[before]}: {str(error).strip().splitlines()[0]}; {DESCRIPTIONS[self.way]} instead")

    def _say(self, text: str) -> None:
        tqdm.write(text, file=sys.stderr)

    def _replay(self, batch: Batch) -> None:
        if self.graphs is None:
            self.graphs = Graphs(self.step, self._live, self.device)
        self.graphs(batch)

    def step(self, batch: Batch) -> None:
        """Execute the step itself. Nothing in it waits for the device or depends on a value there."""
        accelerator, optimizer = self.descent.accelerator, cast(Any, self.descent.optimizer)
        optimizer.zero_grad()
        self.model.train()
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=multiplies_bf16(), cache_enabled=False)
        with autocast:
            value, figures = self.loss(self.model, batch)
        accelerator.backward(value)
        norm = accelerator.clip_grad_norm_(self.descent.model.parameters(), self.phase.clip_norm)
        assert norm is not None
        is_finite = torch.stack([value.detach(), norm]).isfinite().all()
        optimizer.optimizer.found_inf = 1 - is_finite.float()  # fused optimizers then change nothing
        optimizer.step()
        if not self.names:
            self.names, self.sums = list(figures), torch.zeros(len(figures), device=self.device)
        self.sums += torch.stack([one.detach().float() for one in figures.values()])
        self.diverged += 1 - is_finite.float()

    def _live(self) -> list[Tensor]:
        """Return everything that a step changes."""
        kept = [*self.descent.model.parameters(), *self.descent.model.buffers(), self.sums, self.diverged]
        state = [value for one in self.descent.optimizer.state.values() for value in one.values()]
        silence: Silence | None = getattr(self.loss, "silence", None)
        return [*kept, *state, *([silence.seen] if silence else [])]

    def check(self) -> None:
        """Check that all steps were finite.

        Raises:
            InputError: one was not.
        """
        if float(self.diverged):
            problem = f"diverged: loss or gradient is NaN or infinite by step {self.descent.step - 1}"
            cure = "lower it and start anew; what was saved before is as it was"
            raise InputError(problem, field="learning_rate", cure=cure)

    def means(self) -> dict[str, float]:
        """Return the means of this process's figures since the last :meth:`read`. This waits for the GPU."""
        return dict(zip(self.names, (self.sums / max(1, self.count)).tolist(), strict=True))

    def read(self) -> dict[str, float]:
        """Return the means over all processes, all of which must call this, and start new means."""
        self.sums = reduce(self.sums, "mean") if self.descent.accelerator.num_processes > 1 else self.sums
        found = self.means()
        self.sums.zero_()
        self.count = 0
        return found


class Graphs:
    """A step as CUDA graphs, one for each shape of batch, with a common memory pool.

    Args:
        step: takes a step on a batch.
        live: returns all tensors that a step changes.
        device: a GPU.
    """

    def __init__(self, step: Callable[[Batch], None], live: Callable[[], list[Tensor]], device: torch.device):
        self.step, self.live, self.device = step, live, device
        self.pool = torch.cuda.graph_pool_handle()
        self.kept: dict[tuple[int, ...], tuple[torch.cuda.CUDAGraph, Batch]] = {}

    def __call__(self, batch: Batch) -> None:
        """Take a step on a batch."""
        key = tuple(batch["input_ids"].shape)
        if key not in self.kept:
            self.kept[key] = self._captured({name: values.clone() for name, values in batch.items()})
        graph, own = self.kept[key]
        for name, values in own.items():
            values.copy_(batch[name], non_blocking=True)
        graph.replay()

    def _captured(self, own: Batch) -> tuple[torch.cuda.CUDAGraph, Batch]:
        """Warm up, undo the warm-up, and capture a graph for batches like ``own``, which becomes its input.

        The default device is the GPU meanwhile, since copies from the CPU cannot be captured. Models create e.g. tables
        of relative positions during a pass.
        """
        before, random = {id(one): one.detach().clone() for one in self.live()}, torch.cuda.get_rng_state(self.device)
        side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.device(self.device):
            try:
                with torch.cuda.stream(side):
                    for _ in range(WARM_UP):
                        self.step(own)
            finally:
                torch.cuda.current_stream(self.device).wait_stream(side)
                with torch.no_grad():
                    for one in self.live():  # new tensors are the optimizer's state, initially zero
                        one.copy_(before[id(one)]) if id(one) in before else one.zero_()
                torch.cuda.set_rng_state(random, self.device)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool):
                self.step(own)
        return graph, own


def adam(model: nn.Module, phase: Phase) -> torch.optim.AdamW:
    """Make a fused AdamW. Vectors and scalars (biases, norms, scales) have no weight decay.

    ``highest`` in each of its groups is the learning rate that :func:`schedule` scales.
    """
    own = phase.weight_rate if isinstance(phase, Distilling) else None
    few_bit = {id(m.weight) for m in model.modules() if isinstance(m, QuantizedLinear)} if own is not None else set()
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {
            "params": [p for p in trainable if p.dim() > 1 and id(p) not in few_bit],
            "weight_decay": phase.weight_decay,
            "highest": phase.learning_rate,
        },
        {"params": [p for p in trainable if p.dim() <= 1], "weight_decay": 0.0, "highest": phase.learning_rate},
        {"params": [p for p in trainable if id(p) in few_bit], "weight_decay": phase.weight_decay, "highest": own},
    ]
    rate = torch.tensor(phase.learning_rate)
    filled = [group for group in groups if group["params"]]
    return torch.optim.AdamW(filled, lr=rate, fused=True, capturable=torch.cuda.is_available())


def multiplies_bf16() -> bool:
    """Whether the processor multiplies bfloat16 natively."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def schedule(step: int, total: int, warmup: float) -> float:
    """Linear warm-up, then linear decay to zero."""
    rise = max(1, round(warmup * total))
    return (step + 1) / rise if step < rise else max(0.0, (total - step) / max(1, total - rise))
