"""Measure the joules that this machine takes for the dense network: the processor by RAPL, a GPU by NVML.

What cannot be measured is left out, with a reason. Nothing is estimated.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from ..topology import Shape
from .clock import Run

SECONDS, IDLE = 5.0, 1.0
"""How long the network runs at least, and the machine is idle before it."""


class Measured(Protocol):
    """Seconds of a window, and what RAPL's packages and NVML's GPUs took in it, J by index."""

    time: float
    cpu_energy: dict[int, float] | None
    gpu_energy: dict[int, float]


class Monitor(Protocol):
    """What is needed of ``zeus.monitor.ZeusMonitor``."""

    def begin_window(self, key: str) -> None:
        """Begin to count."""

    def end_window(self, key: str) -> Measured:
        """What was counted since."""


def measure_dense(shape: Shape, vocabulary: int, tokens: int) -> dict[str, Any]:
    """J of a sentence on this machine: a BERT of that shape in fp32 by PyTorch, weights and tokens at random.

    Returns: ``processor`` and ``gpu`` as :func:`joules` gives them, None where they cannot be read; ``absent``: why.
    """
    import torch
    from zeus.device import get_cpus, get_gpus
    from zeus.monitor import ZeusMonitor

    from .opponents import bert_of

    model: Any = bert_of(shape, vocabulary, tokens)
    absent: dict[str, str] = {}
    rows = torch.randint(vocabulary, (1, tokens), generator=torch.Generator().manual_seed(0))
    found: dict[str, Any] = {"tokens": tokens, "processor": None, "gpu": None, "absent": absent}
    for name, device, present in (("processor", "cpu", get_cpus), ("gpu", "cuda", get_gpus)):
        try:
            present()
            own, given = model.to(device), rows.to(device)
        except Exception as error:  # (each library and driver raises its own)
            absent[name] = " ".join(str(error).split()) or type(error).__name__
            continue
        run = torch.inference_mode()(lambda own=own, given=given: own(given).logits.cpu())
        monitor = ZeusMonitor(gpu_indices=[0] if name == "gpu" else [], cpu_indices=[] if name == "gpu" else None)
        found[name] = joules(run, monitor, SECONDS)
        if found[name] is None:
            absent[name] = "its counter did not move"
    return found


def joules(run: Run, monitor: Monitor, seconds: float, idle: float = IDLE) -> dict[str, float] | None:
    """J of one call of ``run``, of many that follow each other after one that warms up; None if nothing was counted.

    ``per_sentence_j`` is all that the counter saw, whoever drew it; ``idle_w`` what it saw while nothing ran.
    """
    run()
    monitor.begin_window("idle")
    time.sleep(idle)
    quiet = monitor.end_window("idle")
    calls, deadline = 0, time.perf_counter() + seconds
    monitor.begin_window("run")
    while calls == 0 or time.perf_counter() < deadline:
        run()
        calls += 1
    busy = monitor.end_window("run")
    drawn, resting = _counted(busy), _counted(quiet)
    if not drawn:
        return None
    watts = {"watts": drawn / busy.time, "idle_w": resting / quiet.time}
    return {"per_sentence_j": drawn / calls, "seconds": busy.time / calls, "calls": calls, **watts}


def _counted(window: Measured) -> float:
    return sum((window.cpu_energy or {}).values()) + sum(window.gpu_energy.values())
